"""LFADS-JSLDS: both generators against plain loops, and what may and may not reach an inference."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ctd_models_jax.lfads_jslds import LFADSJSLDS, Objective, Parameters, generators
from ctd_models_jax.lfads_jslds.config import (
    ControllerConfig,
    EncoderConfig,
    KLConfig,
    LFADSJSLDSConfig,
    TermsConfig,
)
from ctd_models_jax.lfads_jslds.encoder import seen_by_controller
from ctd_models_jax.lfads_jslds.export import jslds_dynamics, network_dynamics
from ctd_models_jax.lfads_jslds.generators import Given, Shared
from ctd_models_jax.recording import Trials

TRIALS, TIME, INPUTS, UNITS = 5, 6, 2, 4
HELD_IN = (True, False, True, True, False)
LENGTHS = np.array([6, 6, 4, 2, 6])
SMALL = {"units": UNITS, "factors": 3, "encoder": EncoderConfig(units=3), "kept_inputs": [1]}
CONTROLLED = ControllerConfig(units=3, controls=2, lag=1)


def trials(neurons=5, seed=0, lengths=LENGTHS):
    rng = np.random.default_rng(seed)
    valid = (np.arange(TIME) < np.asarray(lengths)[:, None]).astype(np.float32)
    scored = np.repeat(valid[:, :, None], neurons, 2)
    values = rng.poisson(1.0, scored.shape).astype(np.float32) * scored
    inputs = rng.normal(size=(len(valid), TIME, INPUTS)).astype(np.float32)
    return Trials(values, valid, valid, scored, inputs)


class Made(NamedTuple):
    """A model, parameters, which are trained, and inference, compiled once for all tests that share it."""

    model: LFADSJSLDS
    params: Parameters
    trainable: Parameters
    infer: Any


def make(settings=None, *, held_in=(HELD_IN,), family="poisson", **more):
    """A model whose parameters are anything, which takes no compilation."""
    settings = settings or LFADSJSLDSConfig(**{**SMALL, **more})
    model = LFADSJSLDS(held_in, INPUTS, family, settings)
    ones = [np.ones(len(seen), np.float32) for seen in held_in]
    like, trainable = eqx.filter_eval_shape(model.initialize, jax.random.key(0), ones, ones)
    rng = np.random.default_rng(1)
    drawn = jax.tree.map(lambda leaf: jnp.asarray(0.4 * rng.normal(size=leaf.shape), leaf.dtype), like)
    sessions = [own._replace(std=2 * jnp.ones(len(own.std))) for own in drawn.sessions]
    return Made(model, drawn._replace(sessions=sessions), trainable, eqx.filter_jit(model.infer))


@pytest.fixture(scope="module")
def alone():
    """No controller, the initial state from the first three bins."""
    weights = TermsConfig(rnn=2.0, jslds=3.0, fixed_point=5.0, agreement=7.0, l2=0.1)
    kl = KLConfig(initial_state=0.5, start=10, increase=20, first=0.2)
    return make(encoder=EncoderConfig(units=3, bins=3), weights=weights, kl=kl)


@pytest.fixture(scope="module")
def controlled():
    return make(controller=CONTROLLED)


@pytest.mark.parametrize("name", ["alone", "controlled"])
def test_both_generators_are_loops_over_the_contracts_dynamics(name, request):
    model, params, _, infer = request.getfixturevalue(name)
    data = trials()
    found = infer(params, data)
    network, linear = network_dynamics(model, params), jslds_dynamics(model, params)
    inputs = np.concatenate([found.inferred_inputs.mean, data.inputs], -1)
    g = a = np.asarray(found.initial.mean, np.float64)
    factors = np.asarray(params.factor_weight, np.float64)
    factors /= np.linalg.norm(factors, axis=1, keepdims=True)
    for k in range(TIME):
        np.testing.assert_allclose(found.points[:, k], linear.expansion_point(a, inputs[:, k])[0], atol=1e-5)
        g, a = network.step(g, inputs[:, k]), linear.step(a, inputs[:, k])
        np.testing.assert_allclose(found.states[:, k], g, atol=1e-5)
        np.testing.assert_allclose(found.linear_states[:, k], a, atol=1e-5)
    readout = params.sessions[0].readout
    for states, prediction in ((g, found.prediction), (a, found.linear_prediction)):
        expected = states @ factors.T @ np.asarray(readout.weight).T + readout.bias
        np.testing.assert_allclose(prediction[:, -1], expected, atol=1e-4)


def test_gradients_are_those_of_a_plain_loop(controlled):
    """Of the cells themselves, with one forward derivative a bin, dropout and noise; what a model without
    controller runs is part of it."""
    model, params, _, _ = controlled
    rng = np.random.default_rng(2)
    n_controls, n_factors = CONTROLLED.controls, SMALL["factors"]
    sizes = {
        "encoded": 2 * SMALL["encoder"].units,
        "noise": n_controls,
        "factor_mask": n_factors,
        "state_mask": UNITS,
    }
    drawn = {
        name: rng.normal(size=(TRIALS, TIME + (name == "state_mask"), size)).astype(np.float32)
        for name, size in sizes.items()
    }
    given = Given(trials().inputs, model.kept, **drawn)
    shared = Shared(params.cell, params.expansion, params.controller, params.factors())
    start = rng.normal(size=(TRIALS, UNITS)).astype(np.float32)
    weights = rng.normal(size=(4, TRIALS, TIME, UNITS)).astype(np.float32)

    @eqx.filter_jit
    def gradient(given, backend):
        def total(shared, start):
            course = generators.run(shared, start, given, smallest_variance=1e-3, backend=backend)
            parts = (course.states, course.linear_states, course.points, course.drift)
            several = sum(jnp.vdot(w, part) for w, part in zip(weights, parts, strict=True))
            return several + sum(jnp.sum(part**2) for part in (*course.posterior, course.controls))

        return jax.value_and_grad(total, (0, 1))(shared, start)

    fast, plain = gradient(given, "fast"), gradient(given, "plain")
    for one, other in zip(jax.tree.leaves(fast), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4, rtol=1e-4)


def test_the_controller_hears_the_encodings_and_the_networks_factors(controlled):
    """One bin by hand: c_1 = C([encoding_1, f_0], c_0), and f_0 is the initial state's."""
    model, params, _, infer = controlled
    data = trials()
    found = infer(params, data)

    @eqx.filter_jit
    def first_bin(params, start):
        read, visible = model.read(params, data, 0), jnp.asarray(data.visible)
        encoded = seen_by_controller(params.encoder(read, visible), visible, 1)[:, 0]
        controller = params.controller
        state = jnp.broadcast_to(controller.start, (TRIALS, 3))
        heard = jnp.concatenate([encoded, start @ params.factors().T], -1)
        return controller.head(controller.cell(state, controller.cell.project(heard)))

    mean, raw = np.split(np.asarray(first_bin(params, found.initial.mean)), 2, -1)
    np.testing.assert_allclose(found.inferred_inputs.mean[:, 0], mean, atol=1e-5)
    variance = np.exp(10 * np.tanh(raw / 10)) + model.settings.smallest_variance
    np.testing.assert_allclose(found.inferred_inputs.std[:, 0] ** 2, variance, rtol=1e-4)


def test_the_controller_sees_its_encoder_with_a_lag():
    onwards = jnp.arange(1.0, 6.0)[None, :, None]
    visible = jnp.array([[1, 1, 1, 1, 0.0]])
    seen = seen_by_controller((onwards, 10 * onwards), visible, 2)
    np.testing.assert_array_equal(seen[0, :, 0], [0, 0, 1, 2, 3])
    np.testing.assert_array_equal(seen[0, :, 1], [30, 40, 0, 0, 0])


def test_held_out_neurons_and_padding_never_reach_an_inference(controlled):
    model, params, _, infer = controlled
    data = trials()
    before, score = infer(params, data), eqx.filter_jit(Objective(model).score)
    changed = data.values + (3 * ~np.asarray(HELD_IN)).astype(np.float32)
    after = infer(params, data._replace(values=changed))
    for one, other in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(one, other)
    padding = 1 - data.valid[..., None]
    other = data._replace(values=data.values + 50 * padding, inputs=data.inputs + 50 * padding)
    first, second = score(params, [data]), score(params, [other])
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_the_initial_state_may_be_inferred_from_the_first_bins_alone(alone):
    later = trials()
    later.values[:, 3:] += 5 * later.scored[:, 3:]
    before, after = (alone.infer(alone.params, data) for data in (trials(), later))
    np.testing.assert_array_equal(before.prediction, after.prediction)
    both = make(controller=CONTROLLED, encoder=EncoderConfig(units=3, bins=3))
    before, after = (both.infer(both.params, data) for data in (trials(), later))
    np.testing.assert_array_equal(before.initial.mean, after.initial.mean)
    # With a lag of one bin the first bin that the controller sees differently is two before: it hears ahead.
    assert not np.array_equal(before.inferred_inputs.mean, after.inferred_inputs.mean)


def test_the_loss_in_numpy(alone):
    """Nothing hidden, dropped or drawn: every term by hand, trials of unequal lengths."""
    model, params, _, infer = alone
    data = trials()
    found = jax.tree.map(lambda a: np.asarray(a, np.float64), infer(params, data))
    network, per = network_dynamics(model, params), TRIALS * TIME * len(HELD_IN)
    before = np.concatenate([found.initial.mean[:, None], found.linear_states[:, :-1]], 1)
    at, known = jslds_dynamics(model, params).expansion_point(before, data.inputs)
    drift = network.step(at, known) - at
    bins = data.valid[..., None]

    def nll(log_counts):
        return np.sum(data.scored * (np.exp(log_counts) - data.values * log_counts)) / per

    mean, variance = found.initial.mean, np.exp(found.initial.log_variance)
    prior_variance = np.exp(np.asarray(params.initial_prior.log_variance, np.float64))
    kl = 0.5 * ((variance + mean**2) / prior_variance - 1 + np.log(prior_variance / variance))
    trained = jax.tree.leaves(params._replace(sessions=[params.sessions[0]._replace(mean=None, std=None)]))
    expected = {
        "rnn": 2 * nll(found.prediction),
        "jslds": 3 * nll(found.linear_prediction),
        "fixed_point": 5 * np.sum(bins * drift**2) / per,
        "agreement": 7 * np.sum(bins * (found.states - found.linear_states) ** 2) / per,
        "kl_initial": 0.5 * kl.sum() / per,
        "l2": 0.1 * sum(float((leaf**2).sum()) for leaf in trained) * TRIALS / per,
    }
    score = eqx.filter_jit(Objective(model).score)(params, [data])
    for name, value in expected.items():
        assert float(score[name]) == pytest.approx(value, rel=1e-4), name
    assert float(score["loss"]) == pytest.approx(sum(expected.values()), rel=1e-4)
    loss = eqx.filter_jit(Objective(model, per_trial=True).loss)
    steps = [loss(params, [data], key=jax.random.key(0), step=jnp.asarray(step)) for step in (5, 20, 40)]
    whole = expected["kl_initial"] * per / TRIALS  # in nats per trial, as published
    found = [float(terms["kl_initial"]) for terms in steps]
    np.testing.assert_allclose(found, np.array([0.2, 0.6, 1.0]) * whole, rtol=1e-4)


def test_what_was_shown_is_not_scored():
    """Of what the encoder may see only what was hidden counts; of all else everything does."""
    settings = LFADSJSLDSConfig(**{**SMALL, "encoder": EncoderConfig(units=3, bins=4)})
    objective = Objective(LFADSJSLDS((HELD_IN,), INPUTS, "poisson", settings), coordinated_dropout=0.25)
    data = trials()
    shown, weight = eqx.filter_jit(objective.hide)(jax.random.key(0), data, 0)
    seen = np.zeros((TRIALS, TIME, len(HELD_IN)), bool)
    seen[:, :4] = (data.visible[:, :4, None] > 0) & np.asarray(HELD_IN)
    np.testing.assert_array_equal(np.asarray(weight)[~seen], 1.0)
    assert set(np.unique(np.asarray(weight)[seen]).tolist()) == {0.0, 4.0}
    scored = np.asarray(weight)[..., np.flatnonzero(HELD_IN)] > 0
    at = seen[..., np.flatnonzero(HELD_IN)]
    np.testing.assert_array_equal(np.asarray(shown)[at] > 0, ~scored[at])
    np.testing.assert_allclose(np.asarray(shown)[shown > 0], 4 / 3, rtol=1e-6)


def test_dropout_is_the_same_for_both_generators():
    """While both systems are at the same states, a dropped unit is missing from both predictions."""
    model, params, _, _ = make(dropout=0.5, controller=CONTROLLED)
    objective, data = Objective(model), trials()

    @eqx.filter_jit
    def told(params):
        found = model.run(params, [model.read(params, data, 0)], [data], key=jax.random.key(3))
        twin = found._replace(course=found.course._replace(linear_states=found.course.states))
        (cost,) = objective.costs(params, [data], twin, sampled=True)
        (whole,) = objective.costs(params, [data], twin._replace(state_mask=None), sampled=True)
        return found.state_mask, cost.nll, whole.nll

    mask, nll, whole = told(params)
    np.testing.assert_array_equal(*nll)
    assert set(np.unique(mask).tolist()) == {0.0, 2.0}
    assert not np.allclose(nll[0], whole[0])


def test_a_session_alone_is_the_model_of_one_and_others_leave_its_readout_be():
    held_in = (HELD_IN, (True, True, True, False, True))
    data, other = trials(), trials(seed=5, lengths=[6, 5, 6])
    settings = LFADSJSLDSConfig(**{**SMALL, "encoder": EncoderConfig(units=3, read_in=3)})
    model, params, _, _ = make(settings, held_in=held_in)
    scores = [Objective(LFADSJSLDS((own,), INPUTS, "poisson", settings)).score for own in held_in]

    @eqx.filter_jit
    def told(params, scored):
        """The score of both and of each alone, and gradients of the network's likelihood of both."""
        blank = data._replace(scored=scored)
        each = [
            score(params._replace(sessions=[params.sessions[index]]), [own])
            for index, (score, own) in enumerate(zip(scores, (blank, other), strict=True))
        ]

        def both(params):
            terms = Objective(model).score(params, [blank, other])
            return terms["rnn"], terms

        gradient, terms = jax.grad(both, has_aux=True)(params)
        return terms, each, gradient

    both, (first, last), _ = told(params, data.scored)
    for name in first:
        mean = (float(first[name]) + float(last[name])) / 2
        assert float(both[name]) == pytest.approx(mean, rel=1e-4), name
    gradient = told(params, np.zeros_like(data.scored))[2]  # only the second recording's counts are scored
    for part in ("read_in", "readout"):
        mine, others = (getattr(gradient.sessions[index], part) for index in (1, 0))
        assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(mine))
        assert not any(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(others))


def test_recordings_of_different_neurons_need_a_read_in():
    settings = LFADSJSLDSConfig(**SMALL)
    assert LFADSJSLDS((HELD_IN, (True,)), INPUTS, "poisson", settings).channels == settings.factors
    with pytest.raises(ValueError, match="kept_inputs: there are 2 channels, counted from 0, got 2"):
        LFADSJSLDS((HELD_IN,), INPUTS, "poisson", LFADSJSLDSConfig(kept_inputs=[2]))


def test_activity_has_a_learned_variance():
    model, params, trainable, infer = make(family="gaussian")
    data = trials()
    found = infer(params, data)
    variance = np.exp(np.asarray(params.sessions[0].log_variance, np.float64))
    squares = (data.values - np.asarray(found.prediction, np.float64)) ** 2 / variance
    nll = 0.5 * data.scored * (squares + np.log(2 * np.pi * variance))
    score = eqx.filter_jit(Objective(model).score)(params, [data])
    assert float(score["rnn"]) == pytest.approx(nll.sum() / nll.size, rel=1e-4)
    assert "rnn_bps" not in score
    assert trainable.sessions[0].log_variance
    assert not trainable.sessions[0].mean
