"""The normaliser of a hidden Markov chain: every path counted, TFP's model, gradients that are marginals."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ctd_models_jax.mrsds import hmm

BACKENDS = ["scan", "associative", "plain"]
TIME, MODES = 5, 3


def chain(seed=0, *, time=TIME, modes=MODES, batch=()):
    rng = np.random.default_rng(seed)
    initial = np.log(rng.dirichlet(np.ones(modes), batch))
    transitions = np.log(rng.dirichlet(np.ones(modes), (*batch, time - 1, modes)))
    return tuple(
        jnp.asarray(a, jnp.float32) for a in (initial, transitions, rng.normal(size=(*batch, time, modes)))
    )


def enumerated(initial, transitions, likelihoods):
    """Normaliser and marginals of one chain from all its paths."""
    initial, transitions, likelihoods = (
        np.asarray(a, np.float64) for a in (initial, transitions, likelihoods)
    )
    time, modes = likelihoods.shape
    total, single, pairs = 0.0, np.zeros((time, modes)), np.zeros((time - 1, modes, modes))
    for path in itertools.product(range(modes), repeat=time):
        steps = sum(transitions[t, path[t], path[t + 1]] for t in range(time - 1))
        weight = np.exp(initial[path[0]] + steps + sum(likelihoods[t, path[t]] for t in range(time)))
        total += weight
        for t in range(time):
            single[t, path[t]] += weight
        for t in range(time - 1):
            pairs[t, path[t], path[t + 1]] += weight
    return np.log(total), single / total, pairs / total


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_normaliser_counts_every_path(backend):
    args = chain()
    found = hmm.log_normalizer(*args, backend=backend)
    np.testing.assert_allclose(found, enumerated(*args)[0], rtol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS[:2])
def test_marginals_count_every_path(backend):
    args = chain(1)
    found = hmm.marginals(*args, backend=backend)
    for one, expected in zip(found, enumerated(*args), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS[:2])
def test_the_gradient_is_that_of_the_plain_scan(backend):
    args = chain(2, batch=(4,))
    weights = jnp.arange(1.0, 5.0)

    def weighted(backend):
        return jax.grad(lambda args: weights @ hmm.log_normalizer(*args, backend=backend))(args)

    for fast, plain in zip(weighted(backend), weighted("plain"), strict=True):
        np.testing.assert_allclose(fast, plain, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS[:2])
def test_long_chains_keep_their_digits(backend):
    args = chain(8, time=3000)
    found = jax.grad(lambda args: hmm.log_normalizer(*args, backend=backend))(args)
    plain = jax.grad(lambda args: hmm.log_normalizer(*args, backend="plain"))(args)
    for fast, slow in zip(found, plain, strict=True):
        np.testing.assert_allclose(fast, slow, atol=2e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_bins_that_are_left_out_change_nothing(backend):
    initial, transitions, likelihoods = chain(3, time=7)
    mask = jnp.arange(7) < TIME
    short = (initial, transitions[: TIME - 1], likelihoods[:TIME])

    def total(args, mask=None):
        initial, transitions, likelihoods = args
        return hmm.log_normalizer(initial, transitions, likelihoods, mask, backend=backend)

    np.testing.assert_allclose(total((initial, transitions, likelihoods), mask), total(short), rtol=1e-6)
    padded = jax.grad(total)((initial, transitions, likelihoods.at[TIME:].set(jnp.nan)), mask)
    for long, expected in zip(padded, jax.grad(total)(short), strict=True):
        np.testing.assert_allclose(long[: len(expected)], expected, rtol=1e-4, atol=1e-6)
        assert not np.asarray(long[len(expected) :]).any()
    if backend != "plain":
        found = hmm.marginals(initial, transitions, likelihoods, mask, backend=backend)
        assert not np.asarray(found.pairs[TIME - 1 :]).any()


@pytest.mark.parametrize("backend", BACKENDS[:2])
def test_a_chain_of_one_bin_has_no_pairs(backend):
    initial, transitions, likelihoods = chain(9, time=1, batch=(4,))
    found = hmm.marginals(initial, transitions, likelihoods, backend=backend)
    np.testing.assert_allclose(found.modes[:, 0], jax.nn.softmax(initial + likelihoods[:, 0]), rtol=1e-5)
    assert found.pairs.shape == (4, 0, MODES, MODES)


def test_modes_keep_their_digits_beside_large_likelihoods():
    args = chain(6)
    initial, transitions, likelihoods = args
    found = hmm.marginals(initial, transitions, likelihoods - 1e4)
    _, modes, pairs = enumerated(*args)
    np.testing.assert_allclose(found.log_normalizer, enumerated(*args)[0] - TIME * 1e4, rtol=1e-6)
    np.testing.assert_allclose(found.modes, modes, atol=2e-3)  # likelihoods have a step of 1e-3 there
    np.testing.assert_allclose(found.modes.sum(-1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(found.pairs, pairs, atol=2e-3)


def test_the_normaliser_is_tfps():
    from ctd_models_jax.distributions import tfd

    initial, transitions, means = chain(4, time=9)
    observed = jnp.linspace(-1.0, 1.0, 9)
    model = tfd.HiddenMarkovModel(
        tfd.Categorical(logits=initial),
        tfd.Categorical(logits=transitions),
        tfd.Normal(means, 0.7),
        num_steps=9,
        time_varying_transition_distribution=True,
        time_varying_observation_distribution=True,
    )
    likelihoods = tfd.Normal(means, 0.7).log_prob(observed[:, None])
    found = hmm.marginals(initial, transitions, likelihoods)
    np.testing.assert_allclose(found.log_normalizer, model.log_prob(observed), rtol=1e-5)
    expected = jnp.exp(model.posterior_marginals(observed).logits_parameter())
    np.testing.assert_allclose(found.modes, expected, atol=1e-5)


def test_impossible_transitions_have_finite_gradients():
    initial, transitions, likelihoods = chain(5)
    transitions = transitions.at[:, 0, 1].set(-jnp.inf)
    for impossible in (transitions, transitions.at[:, :, 2].set(-jnp.inf)):
        gradient = jax.grad(lambda args: hmm.log_normalizer(*args))((initial, impossible, likelihoods))
        assert all(np.isfinite(np.asarray(part)).all() for part in gradient)


def test_shapes_that_do_not_fit_are_named():
    initial, transitions, likelihoods = chain()
    with pytest.raises(ValueError, match=r"expected transitions \(\.\.\., 4, 3, 3\)"):
        hmm.log_normalizer(initial, transitions[1:], likelihoods)
