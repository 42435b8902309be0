"""The published objectives, term by term; their weights over training; the penalty on jumps."""

from __future__ import annotations

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_parameters import random_parameters

from ctd_models_jax.mrsds import MRSDS, Trials, gaussian, hmm, mode_posterior, published
from ctd_models_jax.mrsds.beta import Beta
from ctd_models_jax.mrsds.config import (
    DynamicsConfig,
    EncoderConfig,
    ModeConfig,
    MRSDSConfig,
    MRSDSTrainingConfig,
    PublishedConfig,
)
from ctd_models_jax.mrsds.dynamics import ModePrior
from ctd_models_jax.mrsds.overshooting import advance
from ctd_models_jax.mrsds.smoothness import roughness

TRIALS, TIME, REGIONS = 3, 5, (0, 1, 0, 1)
VALID = (np.arange(TIME) < np.array([5, 3, 4])[:, None]).astype(np.float32)


def make(posterior="structured", modes=2, **more):
    settings = MRSDSConfig(
        states=[1, 2],
        modes=modes,
        posterior=posterior,
        objective="published",
        dynamics=DynamicsConfig(layers=[3]),
        mode_transitions=ModeConfig(layers=[]),
        encoder=EncoderConfig(units=3, embedding=[3], layers=[]),
        **more,
    )
    model = MRSDS(REGIONS, (True,) * 4, 1, "poisson", settings)
    rng = np.random.default_rng(0)
    scored = np.repeat(VALID[..., None], len(REGIONS), -1)
    values = rng.poisson(1.0, scored.shape).astype(np.float32) * scored
    inputs = rng.normal(size=(TRIALS, TIME, 1)).astype(np.float32)
    return model, random_parameters(model), Trials(values, VALID, VALID, scored, inputs)


def spread(path):
    return (VALID * np.asarray(gaussian.entropy(path.factor, diagonal=path.diagonal))).sum(-1)


def test_mean_field_emissions_are_scored_at_the_prediction():
    model, params, trials = make("mean_field")

    @eqx.filter_jit
    def terms(params, trials):
        path = model.path(params, model.encode(params, trials), trials, jax.random.key(1))
        transitions = params.mode_prior.log_transitions(path.states[:, :-1], trials.inputs[:, 1:])
        chain = (params.mode_prior.log_initial(), transitions)
        likelihoods = mode_posterior.likelihoods(params.dynamics, path)
        gamma = hmm.marginals(*chain, likelihoods, trials.valid)
        predicted = jnp.einsum("btk,btks->bts", gamma.modes, path.means)
        predicted = jnp.concatenate([path.states[:, :1], predicted[:, 1:]], 1)
        at = [
            params.emissions.log_likelihood(trials.values, x, trials.scored).sum(-1)
            for x in (predicted, path.states)
        ]
        return published.of_mean_field(params, path, trials), *at, gamma.log_normalizer

    found, predicted, at_state, log_prior = terms(params, jax.tree.map(jnp.asarray, trials))
    np.testing.assert_allclose(found.emissions, predicted, rtol=1e-5)
    assert np.abs(found.emissions - at_state).min() > 1e-2
    np.testing.assert_allclose(found.states, log_prior, rtol=1e-5)
    np.testing.assert_allclose(found.entropy, spread(found.path), rtol=1e-5)


@pytest.mark.parametrize("modes", [1, 2])
def test_structured_terms_are_weighted_over_predictions(modes, monkeypatch):
    """With all noise taken out, predictions are steps of the mean."""
    settings = PublishedConfig([0.5, 0.3, 0.2], [0.7, 0.4], initial_weight=3.0, mode_weight=2.0)
    model, params, trials = make(modes=modes, published=settings)
    monkeypatch.setattr(jax.random, "normal", lambda _key, shape: jnp.zeros(shape))

    @eqx.filter_jit
    def terms(params, trials):
        code = model.encode(params, trials)
        found = published.of_structured(params, code, trials, jax.random.key(1), settings)
        dynamics, q = params.dynamics, jnp.exp(code.modes)
        x, driven = found.path.states, dynamics.driven(trials.inputs)

        def density(residual, noise):
            return gaussian.log_density(residual, noise.factor())

        def seen(x, first):
            counted = trials.scored * (jnp.arange(TIME) >= first)[:, None]
            return params.emissions.log_likelihood(trials.values, x, counted).sum(-1)

        def total(each, first):
            return jnp.sum(jnp.where((trials.valid > 0) & (jnp.arange(TIME) >= first), each, 0.0), -1)

        initial = jnp.sum(q[:, 0] * density(x[:, :1] - dynamics.initial_mean, dynamics.initial_noise), -1)
        emissions, states, ahead, weights = 0.5 * seen(x, 0), 3.0 * initial, x, q
        for bins, (of_y, of_x) in enumerate(((0.3, 0.7), (0.2, 0.4)), 1):
            before = [jnp.concatenate([a[:, :1], a[:, :-1]], 1) for a in (ahead, weights)]
            likelihoods = density(x[:, :, None] - dynamics.means(before[0], driven), dynamics.noise)
            ahead, weights = advance(dynamics, params.mode_prior, *before, trials.inputs)
            mixed = jax.nn.logsumexp(likelihoods, -1, b=weights)
            expected = jnp.sum(q * likelihoods, -1) if bins == 1 else mixed
            emissions, states = emissions + of_y * seen(ahead, bins), states + of_x * total(expected, bins)
        divergence = published.mode_divergence(
            params.mode_prior, code.modes, x, trials.inputs, trials.valid > 0
        )
        return found, emissions, states, divergence, code.offset

    found, emissions, states, divergence, offset = terms(params, jax.tree.map(jnp.asarray, trials))
    np.testing.assert_allclose(found.emissions, emissions, rtol=1e-4)
    np.testing.assert_allclose(found.states, states, rtol=1e-4)
    np.testing.assert_allclose(found.modes, -2 * divergence, rtol=1e-5)
    np.testing.assert_allclose(found.entropy, spread(found.path), rtol=1e-5)
    # x = F + e + psi in one of the modes
    residual = found.path.states[:, :, None] - found.path.means - offset[:, :, None]
    np.testing.assert_allclose(np.abs(residual).max(-1).min(-1), 0.0, atol=1e-5)


def test_the_rollout_has_the_noise_of_prior_and_posterior():
    model, params, trials = make(modes=1)

    @eqx.filter_jit
    def deviations(params, trials):
        code = model.encode(params, trials)
        given = (params.dynamics, params.mode_prior, code, trials.inputs)
        path = jax.vmap(lambda key: published.rollout(*given, key))(jax.random.split(jax.random.key(0), 3000))
        prior = [noise.factor() for noise in (params.dynamics.initial_noise, params.dynamics.noise)]
        return path.states - path.means[:, :, :, 0] - code.offset, prior, code.factor

    found, (first, later), own = deviations(params, jax.tree.map(jnp.asarray, trials))
    of_prior = np.stack([first, *[later] * (TIME - 1)])
    np.testing.assert_allclose(found.std(0), np.sqrt(of_prior**2 + own**2), rtol=0.1)
    np.testing.assert_allclose(found.mean(0), 0.0, atol=0.1 * float(found.std(0).max()))


def test_the_divergence_of_modes_is_one():
    """Against all paths; not the ratio of logs, which is 1 where both agree."""
    rng = np.random.default_rng(2)
    prior = ModePrior(
        jnp.asarray(rng.normal(size=2)), jnp.asarray(rng.normal(size=(2, 2))), None, recurrence="none"
    )
    log_q = np.log(rng.dirichlet(np.ones(2), (TRIALS, TIME))).astype(np.float32)
    x, u = jnp.zeros((TRIALS, TIME, 1)), jnp.zeros((TRIALS, TIME, 0))
    found = published.mode_divergence(prior, log_q, x, u, VALID > 0)
    first, moves = np.asarray(prior.log_initial()), np.asarray(prior.log_transitions(x, u))[0, 0]
    for row in range(TRIALS):
        total, length = 0.0, int(VALID[row].sum())
        for path in itertools.product(range(2), repeat=length):
            of_q = sum(log_q[row, k, z] for k, z in enumerate(path))
            of_p = first[path[0]] + sum(moves[a, b] for a, b in itertools.pairwise(path))
            total += np.exp(of_q) * (of_q - of_p)
        np.testing.assert_allclose(found[row], total, rtol=1e-4)
    assert (np.asarray(found) > 0).all()
    alike = ModePrior(prior.initial, jnp.tile(prior.logits[:1], (2, 1)), None, recurrence="none")
    same = np.broadcast_to(jax.nn.log_softmax(alike.logits[0]), (TRIALS, TIME, 2)).copy()
    same[:, 0] = alike.log_initial()
    np.testing.assert_allclose(published.mode_divergence(alike, same, x, u, VALID > 0), 0.0, atol=1e-6)


@pytest.mark.parametrize("posterior", ["structured", "mean_field"])
def test_it_is_reported_as_no_bound_and_padding_never_counts(posterior):
    model, params, trials = make(posterior, smoothness=0.1)

    @eqx.filter_jit
    def score(params, trials):
        return model.score(params, trials, key=jax.random.key(2))

    found = score(params, trials)
    assert model.monitor == "published_objective"
    assert "bound" not in found
    parts = ("published_emissions", "published_states", "published_entropy", "published_modes")
    assert set(found) == {*parts, "smoothness", "published_objective"}
    np.testing.assert_allclose(found["published_objective"], sum(found[name] for name in parts), rtol=1e-5)
    with pytest.raises(ValueError, match="published is no bound"):
        model.bound(params, trials, key=jax.random.key(0))
    away = 1 - VALID[..., None]
    noisy = score(params, trials._replace(values=trials.values + 9 * away, inputs=trials.inputs + 9 * away))
    for name, term in found.items():
        np.testing.assert_allclose(noisy[name], term, rtol=1e-5, err_msg=name)


def test_a_chain_has_no_published_objective():
    with pytest.raises(ValueError, match="objective=published needs posterior=structured or mean_field"):
        make("chain")
    with pytest.raises(ValueError, match="emission_weights: expected 3, one more than of states, got 2"):
        PublishedConfig([0.5, 0.5], [0.7, 0.3])


def test_beta_rises_and_falls_as_often_as_asked():
    beta = MRSDSTrainingConfig(steps=1000, beta_peak=50.0, beta_warm_up=20, beta_cycles=4).weights()["beta"]
    assert beta == Beta(50.0, 20, 250)
    values = np.asarray(beta(jnp.arange(1000)))
    peaks = 1 + np.flatnonzero((values[1:-1] > values[:-2]) & (values[1:-1] >= values[2:]))
    np.testing.assert_array_equal(peaks, [20, 270, 520, 770])
    np.testing.assert_allclose(values[peaks], 50.0)
    np.testing.assert_allclose(values[[10, 135]], [25.0, 0.505 * 50], rtol=1e-5)
    assert values.min() == 1.0
    assert MRSDSTrainingConfig().weights()["beta"] is None


def test_beta_weighs_the_states_term_alone():
    model, params, trials = make()

    @eqx.filter_jit
    def losses(params, trials):
        key = jax.random.key(3)
        plain = model.loss(params, trials, key=key, step=10)
        return plain, model.loss(params, trials, key=key, step=10, beta=Beta(7.0, 10, 100))

    plain, weighted = losses(params, trials)
    for name, term in plain.items():
        factor = 7.0 if name == "published_states" else 1.0
        np.testing.assert_allclose(weighted[name], factor * term, rtol=1e-5, err_msg=name)


def test_roughness_is_of_differences_within_the_trial():
    x = np.random.default_rng(4).normal(size=(TRIALS, TIME, 2)).astype(np.float32)
    found = jax.jit(roughness)(x, VALID)
    for row in range(TRIALS):
        inside = x[row, : int(VALID[row].sum())]
        expected = sum(np.abs(np.diff(inside, order, axis=0)).sum() for order in (1, 2, 3))
        np.testing.assert_allclose(found[row], expected, rtol=1e-5)
