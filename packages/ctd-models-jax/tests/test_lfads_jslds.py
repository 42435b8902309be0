"""LFADS-JSLDS: both generators against plain loops, and what may and may not reach an inference."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ctd_models_jax import checkpoint
from ctd_models_jax.lfads_jslds import LFADSJSLDS, Objective
from ctd_models_jax.lfads_jslds.config import (
    ControllerConfig,
    EncoderConfig,
    KLConfig,
    LFADSJSLDSConfig,
    TermsConfig,
)
from ctd_models_jax.lfads_jslds.encoder import seen_by_controller
from ctd_models_jax.lfads_jslds.export import jslds_dynamics, network_dynamics
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


def make(settings=None, *, held_in=(HELD_IN,), family="poisson", **more):
    """A model whose parameters are all away from their starts, and jitted inference."""
    settings = settings or LFADSJSLDSConfig(**{**SMALL, **more})
    model = LFADSJSLDS(held_in, INPUTS, family, settings)
    ones = [np.ones(len(seen), np.float32) for seen in held_in]
    start = eqx.filter_jit(model.initialize)
    params, trainable = start(jax.random.key(0), ones, [2 * one for one in ones])
    leaves, structure = jax.tree.flatten(params)
    rng = np.random.default_rng(1)
    moved = [leaf + 0.2 * rng.normal(size=leaf.shape).astype(np.float32) for leaf in leaves]
    return model, jax.tree.unflatten(structure, moved), trainable


def infer(model, params, data, **options):
    return eqx.filter_jit(model.infer)(params, data, **options)


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
def test_both_generators_are_plain_loops(name, request):
    """Of the contract's dynamics, and of the cells' own with one forward derivative a bin; gradients too."""
    model, params, _ = request.getfixturevalue(name)
    data = trials()
    found = infer(model, params, data)
    network, linear = network_dynamics(model, params), jslds_dynamics(model, params)
    inputs = np.concatenate([found.inferred_inputs.mean, data.inputs], -1)
    g = a = np.asarray(found.initial.mean, np.float64)
    factors = np.asarray(params.factors())
    np.testing.assert_allclose(np.linalg.norm(factors, axis=1), 1.0, rtol=1e-6)
    for k in range(TIME):
        np.testing.assert_allclose(found.points[:, k], linear.expansion_point(a, inputs[:, k])[0], atol=1e-5)
        g, a = network.step(g, inputs[:, k]), linear.step(a, inputs[:, k])
        np.testing.assert_allclose(found.states[:, k], g, atol=1e-5)
        np.testing.assert_allclose(found.linear_states[:, k], a, atol=1e-5)
    readout = params.sessions[0].readout
    for states, prediction in ((g, found.prediction), (a, found.linear_prediction)):
        expected = states @ factors.T @ np.asarray(readout.weight).T + readout.bias
        np.testing.assert_allclose(prediction[:, -1], expected, atol=1e-4)

    @eqx.filter_jit
    def gradient(params, backend):
        def total(params):
            read = [model.read(params, data, 0)]
            found = model.run(params, read, [data], key=jax.random.key(0), backend=backend).course
            weights = jax.random.normal(jax.random.key(1), (6, *found.states.shape))
            parts = (found.states, found.linear_states, found.points, found.drift)
            several = sum(jnp.vdot(w, part) for w, part in zip(weights, parts, strict=False))
            return several + sum(jnp.sum(part**2) for part in found.posterior)

        return jax.value_and_grad(total)(params)

    fast, plain = gradient(params, "fast"), gradient(params, "plain")
    for one, other in zip(jax.tree.leaves(fast), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4, rtol=1e-4)


def test_the_controller_hears_the_encodings_and_the_networks_factors(controlled):
    """One bin by hand: c_1 = C([encoding_1, f_0], c_0), and f_0 is the initial state's."""
    model, params, _ = controlled
    data = trials()
    found = infer(model, params, data)
    read = model.read(params, data, 0)
    encoded = seen_by_controller(params.encoder(read, data.visible), jnp.asarray(data.visible), 1)
    heard = found.initial.mean @ params.factors().T
    controller = params.controller
    state = jnp.broadcast_to(controller.start, (TRIALS, 3))
    state = controller.cell(state, controller.cell.project(jnp.concatenate([encoded[:, 0], heard], -1)))
    mean, raw = np.split(np.asarray(controller.head(state)), 2, -1)
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
    model, params, _ = controlled
    data = trials()
    before, score = infer(model, params, data), eqx.filter_jit(Objective(model).score)
    changed = data.values + (3 * ~np.asarray(HELD_IN)).astype(np.float32)
    after = infer(model, params, data._replace(values=changed))
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
    model, params, _ = alone
    before, after = infer(model, params, trials()), infer(model, params, later)
    np.testing.assert_array_equal(before.prediction, after.prediction)
    model, params, _ = make(controller=CONTROLLED, encoder=EncoderConfig(units=3, bins=3))
    before, after = infer(model, params, trials()), infer(model, params, later)
    np.testing.assert_array_equal(before.initial.mean, after.initial.mean)
    # With a lag of one bin the first bin that the controller sees differently is two before: it hears ahead.
    assert not np.array_equal(before.inferred_inputs.mean, after.inferred_inputs.mean)


def test_the_loss_in_numpy(alone):
    """Nothing hidden, dropped or drawn: every term by hand, trials of unequal lengths."""
    model, params, _ = alone
    data = trials()
    found = jax.tree.map(lambda a: np.asarray(a, np.float64), infer(model, params, data))
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
    model, _, _ = make(encoder=EncoderConfig(units=3, bins=4))
    objective, data = Objective(model, coordinated_dropout=0.25), trials()
    shown, weight = objective.hide(jax.random.key(0), data, 0)
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
    model, params, _ = make(dropout=0.5, controller=CONTROLLED)
    objective, data = Objective(model), trials()
    found = model.run(params, [model.read(params, data, 0)], [data], key=jax.random.key(3))
    twin = found._replace(course=found.course._replace(linear_states=found.course.states))
    (cost,) = objective.costs(params, [data], twin, sampled=True)
    np.testing.assert_array_equal(cost.nll[0], cost.nll[1])
    assert set(np.unique(found.state_mask).tolist()) == {0.0, 2.0}
    whole = objective.costs(params, [data], twin._replace(state_mask=None), sampled=True)[0]
    assert not np.allclose(cost.nll[0], whole.nll[0])


def test_a_session_alone_is_the_model_of_one_and_others_leave_its_readout_be():
    held_in = (HELD_IN, (True, True, True, False, True))
    data, other = trials(), trials(seed=5, lengths=[6, 5, 6])
    settings = LFADSJSLDSConfig(**{**SMALL, "encoder": EncoderConfig(units=3, read_in=3)})
    model, params, _ = make(settings, held_in=held_in)
    (single,) = [LFADSJSLDS(held_in[:1], INPUTS, "poisson", settings)]
    own = params._replace(sessions=params.sessions[:1])
    both = eqx.filter_jit(Objective(model).score)(params, [data, other])
    first = eqx.filter_jit(Objective(single).score)(own, [data])
    swapped = LFADSJSLDS(held_in[1:], INPUTS, "poisson", settings)
    last = eqx.filter_jit(Objective(swapped).score)(params._replace(sessions=params.sessions[1:]), [other])
    for name in first:
        mean = (float(first[name]) + float(last[name])) / 2
        assert float(both[name]) == pytest.approx(mean, rel=1e-4), name

    @eqx.filter_jit
    def of_second(params):
        """Gradients where only the second recording's counts are scored."""
        blank = data._replace(scored=np.zeros_like(data.scored))
        return jax.grad(lambda p: Objective(model).score(p, [blank, other])["rnn"])(params)

    gradient = of_second(params)
    for part in ("read_in", "readout"):
        mine, others = (getattr(gradient.sessions[index], part) for index in (1, 0))
        assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(mine))
        assert not any(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(others))


def test_recordings_of_different_neurons_need_a_read_in():
    settings = LFADSJSLDSConfig(**SMALL)
    assert LFADSJSLDS((HELD_IN, (True,)), INPUTS, "poisson", settings).channels == settings.factors
    with pytest.raises(ValueError, match="kept_inputs: there are channels 0 to 1, got 2"):
        LFADSJSLDS((HELD_IN,), INPUTS, "poisson", LFADSJSLDSConfig(kept_inputs=[2]))


def test_activity_has_a_learned_variance():
    model, params, trainable = make(family="gaussian")
    data = trials()
    found = infer(model, params, data)
    variance = np.exp(np.asarray(params.sessions[0].log_variance, np.float64))
    squares = (data.values - np.asarray(found.prediction, np.float64)) ** 2 / variance
    nll = 0.5 * data.scored * (squares + np.log(2 * np.pi * variance))
    score = eqx.filter_jit(Objective(model).score)(params, [data])
    assert float(score["rnn"]) == pytest.approx(nll.sum() / nll.size, rel=1e-4)
    assert "rnn_bps" not in score
    assert trainable.sessions[0].log_variance
    assert not trainable.sessions[0].mean


def test_saved_parameters_give_the_same_inference(controlled, tmp_path):
    model, params, _ = controlled
    checkpoint.save(tmp_path / "model.safetensors", params)
    ones = [np.ones(len(HELD_IN), np.float32)]
    like, _ = model.initialize(jax.random.key(9), ones, ones)
    loaded = checkpoint.load(tmp_path / "model.safetensors", like)
    expected, found = (infer(model, each, trials()) for each in (params, loaded))
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_array_equal(one, other)
