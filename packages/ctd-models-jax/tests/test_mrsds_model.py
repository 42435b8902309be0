"""MR-SDS's parts: dynamics of the contract, messages that add up, masks kept apart, what an encoder sees."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ctd_models_jax.mrsds import MRSDS, Trials
from ctd_models_jax.mrsds.config import DynamicsConfig, EmissionConfig, EncoderConfig, ModeConfig, MRSDSConfig
from ctd_models_jax.mrsds.export import portable_dynamics, readout
from ctd_models_jax.mrsds.forecasts import forecasts
from ctd_models_jax.mrsds.overshooting import advance, overshooting

TRIALS, TIME, INPUTS = 4, 6, 2
REGIONS, HELD_IN = (0, 1, 0, 0, 1, 0), (True, True, True, False, True, True)
LENGTHS = np.array([6, 4, 6, 5])
DYNAMICS = [
    {},
    {"by_mode": "biases", "output": "next_state", "input_layers": [3]},
    {"communication": "additive-linear", "input_networks": "joint", "activation": "tanh"},
    {"communication": "conditional", "output": "next_state", "by_mode": "biases"},
    {"communication": "conditional", "activation": "silu"},
]


def settings(dynamics=(), **more):
    given = {
        "states": [2, 1],
        "modes": 2,
        "dynamics": DynamicsConfig(**{"layers": [4], **dict(dynamics)}),
        "mode_transitions": ModeConfig(layers=[3]),
        "encoder": EncoderConfig(units=4, embedding=[3], layers=[], heads=2, head_size=3, feed_forward=4),
    }
    return MRSDSConfig(**{**given, **more})


@lru_cache
def _parameters(inputs, family, config):
    model = MRSDS(REGIONS, HELD_IN, inputs, family, MADE[config])
    params, trainable = eqx.filter_jit(model.initialize)(jax.random.key(0))
    rng = np.random.default_rng(0)
    arrays, rest = eqx.partition(params, eqx.is_inexact_array)
    arrays = jax.tree.map(lambda a: a + 0.3 * rng.normal(size=a.shape).astype(np.float32), arrays)
    return model, eqx.combine(arrays, rest), trainable


MADE = {}


def make(config=None, *, family="poisson", inputs=INPUTS):
    """A model whose parameters are far from their start, and trials of several lengths."""
    config = config or settings()
    MADE[repr(config)] = config
    model, params, trainable = _parameters(inputs, family, repr(config))
    rng = np.random.default_rng(1)
    valid = (np.arange(TIME) < LENGTHS[:, None]).astype(np.float32)
    scored = np.repeat(valid[..., None], len(REGIONS), -1)
    values = rng.poisson(1.0, scored.shape).astype(np.float32) * scored
    given = rng.normal(size=(TRIALS, TIME, inputs)).astype(np.float32)
    return model, params, trainable, Trials(values, valid, valid, scored, given)


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_the_dynamics_and_messages_are_the_contracts(dynamics):
    model, params, _, trials = make(settings(dynamics))
    portable = portable_dynamics(model, params)
    x = np.random.default_rng(2).normal(size=(TRIALS, TIME, 3)).astype(np.float32)
    u, reference = trials.inputs, np.array([0.3, -0.2, 0.5], np.float32)
    means = params.dynamics.means(x, params.dynamics.driven(u))
    told = params.dynamics.input_messages(u)
    for counted in (None, reference):
        messages = params.dynamics.messages(jnp.asarray(x), counted)
        total = messages.sum(-2) + told.sum(-2)
        np.testing.assert_allclose(total, means - x[:, :, None], atol=1e-5)
        for mode in range(2):
            expected = portable.messages(x, np.full(x.shape[:2], mode), reference=counted)
            np.testing.assert_allclose(messages[:, :, mode], expected, atol=1e-5)
    for mode in range(2):
        modes = np.full(x.shape[:2], mode)
        np.testing.assert_allclose(means[:, :, mode], portable.step(x, u, modes), atol=1e-5)
        np.testing.assert_allclose(told[:, :, mode], portable.input_messages(u, modes), atol=1e-5)


def test_modes_differ_and_so_do_regions():
    _, params, _, trials = make()
    means = params.dynamics.means(jnp.ones((1, 3)), params.dynamics.driven(trials.inputs[:1, 0]))[0]
    assert np.abs(means[0] - means[1]).min() > 1e-3
    assert [weight.shape[:3] for weight in params.dynamics.networks.weights] == [(2, 2, 2)] * 2


def test_a_messages_source_is_its_region():
    """f_ij depends on x_j alone where communication is additive, and on x_i too where it is conditional."""
    for kind, depends in (("additive", False), ("conditional", True)):
        _, params, _, _ = make(settings({"communication": kind}))

        def first_to_second(x, params=params):
            return params.dynamics.networks(x, x)[:, 0, 2]

        slope = np.asarray(jax.jacobian(first_to_second)(jnp.array([0.4, -0.3, 0.2])))
        assert np.abs(slope[:, :2]).max() > 1e-3
        assert (np.abs(slope[:, 2]).max() > 1e-3) == depends


@pytest.mark.parametrize("posterior", ["structured", "mean_field"])
def test_messages_add_up_to_the_inferred_increment(posterior):
    model, params, _, trials = make(settings(posterior=posterior))
    inferred = model.infer(params, trials)
    found = model.messages(params, inferred, jnp.asarray(trials.inputs), inferred.states.mean((0, 1)))
    dynamics = params.dynamics
    means = dynamics.means(inferred.states[:, :-1], dynamics.driven(jnp.asarray(trials.inputs[:, 1:])))
    step = jnp.einsum("btk,btks->bts", inferred.modes[:, 1:], means) - inferred.states[:, :-1]
    total = found.messages.sum(-2) + found.input_messages.sum(-2)
    np.testing.assert_allclose(total[:, 1:], step, rtol=1e-4, atol=1e-4)
    assert not np.asarray(total[:, 0]).any()


@pytest.mark.parametrize("kind", ["gru", "transformer"])
@pytest.mark.parametrize("posterior", ["structured", "mean_field"])
def test_padding_never_changes_anything(kind, posterior):
    config = settings(posterior=posterior)
    config = dataclasses.replace(config, encoder=dataclasses.replace(config.encoder, kind=kind))
    model, params, _, trials = make(config)
    there = trials.valid[..., None]
    noisy = trials._replace(values=trials.values + 1e3 * (1 - there), inputs=trials.inputs + 10 * (1 - there))
    key = jax.random.key(1)
    before, after = (model.bound(params, each, key=key) for each in (trials, noisy))
    np.testing.assert_allclose(before.emissions, after.emissions, rtol=1e-6)
    np.testing.assert_allclose(before.states, after.states, rtol=1e-6)
    longer = Trials(*(np.pad(a, [(0, 0), (0, 3)] + [(0, 0)] * (a.ndim - 2)) for a in trials))
    short, long = model.infer(params, trials), model.infer(params, longer)
    for one, other in zip(short, long, strict=True):
        np.testing.assert_allclose(one * there, other[:, :TIME] * there, atol=1e-5)


def test_a_neuron_that_is_not_scored_never_counts():
    model, params, _, trials = make()
    key, neuron = jax.random.key(1), 3  # a held-out one
    without = trials._replace(scored=trials.scored * (np.arange(len(REGIONS)) != neuron))
    changed = without._replace(values=without.values + 7.0 * (np.arange(len(REGIONS)) == neuron))
    whole, one, other = (model.bound(params, each, key=key) for each in (trials, without, changed))
    np.testing.assert_array_equal(one.emissions, other.emissions)
    np.testing.assert_array_equal(whole.path.states, one.path.states)
    alone = trials._replace(scored=trials.scored * (np.arange(len(REGIONS)) == neuron))
    term = params.emissions.log_likelihood(trials.values, whole.path.states, alone.scored).sum(-1)
    np.testing.assert_allclose(whole.emissions - one.emissions, term, rtol=1e-4)


def test_what_is_held_out_never_reaches_the_encoder():
    model, params, _, trials = make()
    shown = model.infer(params, trials).states
    hidden = trials._replace(values=trials.values + 5.0 * ~np.asarray(HELD_IN))
    np.testing.assert_array_equal(shown, model.infer(params, hidden).states)
    forward = np.array(trials.visible)
    forward[:, 3:] = 0
    cut = trials._replace(visible=forward)
    later = cut._replace(values=cut.values + 5.0 * (np.arange(TIME) >= 3)[:, None])
    np.testing.assert_array_equal(model.infer(params, cut).states, model.infer(params, later).states)


def test_cosmoothing_hides_further_neurons():
    model, params, _, trials = make()
    hidden = np.arange(len(REGIONS)) == 0
    found = model.cosmooth(params, trials, hidden)
    other = trials._replace(values=trials.values + 5.0 * hidden)
    np.testing.assert_array_equal(found, model.cosmooth(params, other, hidden))
    assert np.abs(found - model.infer(params, trials).prediction).max() > 1e-4


def test_the_transformer_knows_where_a_bin_is():
    config = settings(posterior="mean_field")
    config = dataclasses.replace(config, encoder=dataclasses.replace(config.encoder, kind="transformer"))
    model, params, _, trials = make(config)
    same = trials._replace(values=np.ones_like(trials.values), inputs=np.zeros_like(trials.inputs))
    states = np.asarray(model.infer(params, same).states)[0]
    assert np.abs(np.diff(states, axis=0)).max(-1).min() > 1e-4


def test_dropout_takes_its_share_of_each_regions_neurons_in_its_share_of_trials():
    regions = (0,) * 9 + (1,) * 5
    held_in = (True,) * 8 + (False,) + (True,) * 4 + (False,)
    config = settings(dropout_neurons=0.25, dropout_trials=0.5)
    model = MRSDS(regions, held_in, INPUTS, "poisson", config)
    kept = np.asarray(model.kept_neurons(jax.random.key(0), 2000))
    dropped = 1 - kept
    chosen = dropped.any(1)
    assert abs(chosen.mean() - 0.5) < 0.05
    np.testing.assert_array_equal(dropped[chosen][:, :9].sum(1), 2)
    np.testing.assert_array_equal(dropped[chosen][:, 9:].sum(1), 1)
    assert not dropped[:, ~np.asarray(held_in)].any()
    np.testing.assert_allclose(dropped[chosen][:, :8].mean(0), 0.25, atol=0.06)


@pytest.mark.parametrize("family", ["poisson", "negative_binomial"])
@pytest.mark.parametrize("link", ["exp", "softplus"])
def test_probabilities_of_counts_add_up(family, link):
    _, params, _, _ = make(settings(emissions=EmissionConfig(layers=[3], link=link)), family=family)
    emissions, counts = params.emissions, jnp.arange(400.0)[:, None] * jnp.ones(len(REGIONS))
    x = jnp.array([0.2, -0.4, 0.3])
    mean = emissions.mean(x)
    for neuron in range(len(REGIONS)):
        only = (jnp.arange(len(REGIONS)) == neuron) * jnp.ones_like(counts)
        p = np.exp(emissions.log_likelihood(counts, jnp.broadcast_to(x, (400, 3)), only))
        variance = mean[neuron]
        if family == "negative_binomial":
            variance += mean[neuron] ** 2 / jnp.exp(emissions.log_dispersion[neuron])
        np.testing.assert_allclose(p.sum(), 1.0, rtol=1e-4)
        np.testing.assert_allclose(p @ np.arange(400), mean[neuron], rtol=1e-3)
        np.testing.assert_allclose(p @ (np.arange(400) - float(mean[neuron])) ** 2, variance, rtol=1e-3)


@pytest.mark.parametrize("layers", [[], [3, 4]])
def test_the_readout_is_the_emissions_of_each_region(layers):
    _, params, _, _ = make(settings(emissions=EmissionConfig(layers=layers)))
    x = np.random.default_rng(3).normal(size=(7, 3)).astype(np.float32)
    found = readout(params.emissions, scale=100.0).evaluate(x)
    np.testing.assert_allclose(found, 100 * params.emissions.mean(x), rtol=1e-4)
    slope = jax.jacobian(params.emissions.mean)(jnp.asarray(x[0]))
    own = np.asarray(REGIONS)[:, None] == np.array([0, 0, 1])
    assert not np.asarray(slope)[~own].any()


@pytest.mark.parametrize(
    ("recurrence", "states", "inputs"),
    [("states", True, False), ("inputs", False, True), ("both", True, True), ("none", False, False)],
)
def test_modes_depend_on_what_they_may(recurrence, states, inputs):
    _, params, _, _ = make(settings(mode_transitions=ModeConfig(recurrence=recurrence, layers=[3])))
    prior = params.mode_prior
    x, u = jnp.zeros((2, 3)).at[1].set(1.0), jnp.zeros((2, INPUTS)).at[1].set(1.0)
    by_x, by_u = prior.log_transitions(x, 0 * u), prior.log_transitions(0 * x, u)
    assert (np.abs(by_x[1] - by_x[0]).max() > 1e-4) == states
    assert (np.abs(by_u[1] - by_u[0]).max() > 1e-4) == inputs
    np.testing.assert_allclose(jnp.exp(by_x).sum(-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(jnp.exp(prior.log_initial()).sum(), 1.0, rtol=1e-5)


def test_a_sample_without_noise_follows_the_dynamics_of_its_modes():
    model, params, _, trials = make()
    quiet = [
        dataclasses.replace(noise, log_scale=noise.log_scale - 30.0)
        for noise in (params.dynamics.noise, params.dynamics.initial_noise)
    ]
    dynamics = eqx.tree_at(lambda d: [d.noise, d.initial_noise], params.dynamics, quiet)
    params = params._replace(dynamics=dynamics)
    drawn = model.sample(params, jnp.asarray(trials.inputs), jax.random.key(3))
    portable, modes = portable_dynamics(model, params), np.asarray(drawn.modes)
    np.testing.assert_allclose(drawn.states[:, 0], np.asarray(dynamics.initial_mean)[modes[:, 0]], atol=1e-5)
    for k in range(1, TIME):
        expected = portable.step(drawn.states[:, k - 1], trials.inputs[:, k], modes[:, k])
        np.testing.assert_allclose(drawn.states[:, k], expected, atol=1e-4)
    assert drawn.values.shape == (TRIALS, TIME, len(REGIONS))
    assert len(np.unique(modes)) == 2


def test_a_forecast_and_overshooting_are_steps_of_the_mean():
    model, params, _, trials = make()
    inferred = model.infer(params, trials)
    inputs = jnp.asarray(trials.inputs)
    states, modes = inferred.states[:, 1], inferred.modes[:, 1]
    found = model.forecast(params, states, modes, inputs[:, 2:5])
    for k in range(3):
        states, modes = advance(params.dynamics, params.mode_prior, states, modes, inputs[:, 2 + k])
        np.testing.assert_allclose(found[0][:, k], states, atol=1e-5)
        np.testing.assert_allclose(found[1][:, k], modes, atol=1e-5)
    np.testing.assert_allclose(found[2][:, 2], params.emissions.mean(states), rtol=1e-4)
    expected = []
    for ahead in (1, 2):
        total = count = 0.0
        for start in range(TIME - ahead):
            given = (
                inferred.states[:, start],
                inferred.modes[:, start],
                inputs[:, start + 1 : start + ahead + 1],
            )
            x = model.forecast(params, *given)[0][:, -1]
            scored = trials.scored[:, start + ahead]
            total -= params.emissions.log_likelihood(trials.values[:, start + ahead], x, scored).sum()
            count += scored.sum()
        expected.append(total / count)
    parts = (params.dynamics, params.mode_prior, params.emissions)
    found = overshooting(*parts, inferred.states, inferred.modes, trials, 2)
    np.testing.assert_allclose(found, np.mean(expected), rtol=1e-4)


def test_forecasts_see_nothing_of_what_they_are_of():
    model, params, _, trials = make()
    full = trials._replace(valid=np.ones_like(trials.valid), visible=np.ones_like(trials.visible))
    found = eqx.filter_jit(lambda trials: forecasts(model, params, trials, [1, 3]))(full)
    last, later = 2, np.arange(TIME)[:, None] > 2
    other = eqx.filter_jit(lambda trials: forecasts(model, params, trials, [1, 3]))(
        full._replace(values=np.where(later, 7.0, full.values))
    )
    for bins in (1, 3):
        assert found[bins].shape == trials.values.shape
        told = last + bins + 1
        np.testing.assert_array_equal(found[bins][:, :told], other[bins][:, :told])
        if told < TIME:
            assert np.abs(found[bins][:, told:] - other[bins][:, told:]).max() > 1e-4
    cut = full._replace(
        **{name: np.array(np.arange(TIME) <= last) * full.valid for name in ("valid", "visible")}
    )
    now = model.infer(params, cut)
    expected = model.forecast(params, now.states[:, last], now.modes[:, last], full.inputs[:, last + 1 :])[2]
    np.testing.assert_allclose(found[1][:, last + 1], expected[:, 0], rtol=1e-4)
    np.testing.assert_allclose(found[3][:, last + 3], expected[:, 2], rtol=1e-4)


def test_regions_and_states_must_fit():
    with pytest.raises(ValueError, match=r"states: expected one number or 2, got \[1, 2, 3\]"):
        MRSDS(REGIONS, HELD_IN, INPUTS, "poisson", settings(states=[1, 2, 3]))
