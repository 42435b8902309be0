"""MR-SDS's parts: dynamics of the contract, messages that add up, masks kept apart, what an encoder sees."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_parameters import random_parameters

from ctd_models_jax import checkpoint
from ctd_models_jax.mrsds import MRSDS, Trials, hmm, mode_posterior
from ctd_models_jax.mrsds import overshooting as module
from ctd_models_jax.mrsds.config import DynamicsConfig, EmissionConfig, EncoderConfig, ModeConfig, MRSDSConfig
from ctd_models_jax.mrsds.export import portable_dynamics, readout
from ctd_models_jax.mrsds.forecasts import forecasts
from ctd_models_jax.mrsds.gaussian import Covariance
from ctd_models_jax.mrsds.overshooting import advance, overshooting
from ctd_models_jax.mrsds.posterior import decode

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


MADE = {}


@lru_cache
def _parameters(inputs, family, config):
    model = MRSDS(REGIONS, HELD_IN, inputs, family, MADE[config])
    infer = eqx.filter_jit(lambda params, trials: model.infer(params, trials))
    bound = eqx.filter_jit(lambda params, trials: model.bound(params, trials, key=jax.random.key(1)))
    return model, random_parameters(model), infer, bound


def make(config=None, *, family="poisson", inputs=INPUTS):
    """A model whose parameters are far from their start, and trials of several lengths."""
    config = config or settings()
    MADE[repr(config)] = config
    model, params, *_ = _parameters(inputs, family, repr(config))
    rng = np.random.default_rng(1)
    valid = (np.arange(TIME) < LENGTHS[:, None]).astype(np.float32)
    scored = np.repeat(valid[..., None], len(REGIONS), -1)
    values = rng.poisson(1.0, scored.shape).astype(np.float32) * scored
    given = rng.normal(size=(TRIALS, TIME, inputs)).astype(np.float32)
    return model, params, Trials(values, valid, valid, scored, given)


def test_without_inputs_regions_move_by_messages_alone():
    model, params, trials = make(inputs=0)
    inferred, dynamics = compiled(model)[0](params, trials), params.dynamics
    assert np.isfinite(inferred.prediction).all()
    x = np.asarray(inferred.states)
    moved = dynamics.means(x, dynamics.driven(jnp.asarray(trials.inputs))) - x[..., None, :]
    np.testing.assert_allclose(moved, dynamics.messages(x).sum(-2), atol=1e-6)


def compiled(model):
    """The model's `infer` and `bound`, as functions of parameters and trials, compiled once a session."""
    return _parameters(model.inputs, model.family, repr(model.settings))[2:]


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_the_dynamics_and_messages_are_the_contracts(dynamics):
    model, params, trials = make(settings(dynamics))
    portable = portable_dynamics(model, params)
    x = np.random.default_rng(2).normal(size=(TRIALS, TIME, 3)).astype(np.float32)
    u, reference = trials.inputs, np.array([0.3, -0.2, 0.5], np.float32)

    @eqx.filter_jit
    def parts(dynamics, x, u):
        messages = dynamics.messages(x), dynamics.messages(x, jnp.asarray(reference))
        return dynamics.means(x, dynamics.driven(u)), dynamics.input_messages(u), messages

    means, told, both = parts(params.dynamics, x, u)
    for counted, messages in zip((None, reference), np.asarray(both), strict=True):
        total = messages.sum(-2) + np.asarray(told).sum(-2)
        np.testing.assert_allclose(total, means - x[:, :, None], atol=1e-5)
        for mode in range(2):
            expected = portable.messages(x, np.full(x.shape[:2], mode), reference=counted)
            np.testing.assert_allclose(messages[:, :, mode], expected, atol=1e-5)
    for mode in range(2):
        modes = np.full(x.shape[:2], mode)
        np.testing.assert_allclose(means[:, :, mode], portable.step(x, u, modes), atol=1e-5)
        np.testing.assert_allclose(told[:, :, mode], portable.input_messages(u, modes), atol=1e-5)


def test_a_regions_vector_field_is_its_part_of_the_contracts_step():
    model, params, trials = make(settings({"communication": "conditional"}))
    portable, others = portable_dynamics(model, params), np.array([0.3, -0.2, 0.5], np.float32)
    grid = np.random.default_rng(4).normal(size=(5, 2)).astype(np.float32)
    u = trials.inputs[0, 0]
    at_rest, driven = (
        np.asarray(params.dynamics.vector_field(0, jnp.asarray(grid), **given))
        for given in ({}, {"others": others, "inputs": jnp.asarray(u)})
    )
    for found, rest, given in ((at_rest, np.zeros(3), np.zeros(INPUTS)), (driven, others, u)):
        x = np.concatenate([grid, np.tile(rest[2:], (5, 1))], -1)
        for mode in range(2):
            step = portable.step(x, np.tile(given, (5, 1)), np.full(5, mode))
            np.testing.assert_allclose(found[:, mode], (step - x)[:, :2], atol=1e-5)


def test_messages_of_each_mode_average_to_what_is_told_and_have_lengths():
    model, params, trials = make()
    inferred = compiled(model)[0](params, trials)
    told = eqx.filter_jit(model.messages)(params, inferred, jnp.asarray(trials.inputs))
    for mean, by_mode in ((told.messages, told.by_mode), (told.input_messages, told.inputs_by_mode)):
        expected = np.einsum("btk,btkrs->btrs", inferred.modes, by_mode)
        np.testing.assert_allclose(mean, expected, atol=1e-5)
        assert np.abs(by_mode[:, 1:, 0] - by_mode[:, 1:, 1]).max() > 1e-3
    lengths = np.asarray(params.dynamics.lengths(told.by_mode))
    assert lengths.shape == (TRIALS, TIME, 2, 2, 2)
    np.testing.assert_allclose(lengths[..., 0] ** 2, (told.by_mode[..., :2] ** 2).sum(-1), rtol=1e-4)
    np.testing.assert_allclose(lengths[..., 1], np.abs(told.by_mode[..., 2]), rtol=1e-4)


def test_trials_of_one_bin_have_no_messages():
    config = settings(states=[1], posterior="mean_field", modes=1)
    model, params, trials = make(config)
    short = Trials(*(array[:, :1] for array in trials))

    @eqx.filter_jit
    def told(params, trials):
        inferred = model.infer(params, trials)
        return inferred, model.messages(params, inferred, jnp.asarray(trials.inputs))

    inferred, found = told(params, short)
    assert np.isfinite(inferred.prediction).all()
    assert found.messages.shape == (TRIALS, 1, 2, 2)
    assert not np.asarray(found.messages).any()


def test_modes_differ_and_so_do_regions():
    _, params, trials = make()
    step = eqx.filter_jit(lambda dynamics, x, u: dynamics.means(x, dynamics.driven(u)))
    means = np.asarray(step(params.dynamics, np.ones(3, np.float32), trials.inputs[0, 0]))
    assert np.abs(means[0] - means[1]).min() > 1e-3
    assert [weight.shape[:3] for weight in params.dynamics.networks.weights] == [(2, 2, 2)] * 2


def test_a_messages_source_is_its_region():
    """f_ij depends on x_j alone where communication is additive, and on x_i too where it is conditional."""
    for kind, depends in (("additive", False), ("conditional", True)):
        _, params, _ = make(settings({"communication": kind}))

        @eqx.filter_jit
        def first_to_second(networks, x):
            return jax.jacobian(lambda x: networks(x, x)[:, 0, 2])(x)

        slope = np.asarray(first_to_second(params.dynamics.networks, jnp.array([0.4, -0.3, 0.2])))
        assert np.abs(slope[:, :2]).max() > 1e-3
        assert (np.abs(slope[:, 2]).max() > 1e-3) == depends


POSTERIORS = ["structured", "mean_field", "chain", "laplace"]


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_messages_add_up_to_the_inferred_increment(posterior):
    model, params, trials = make(settings(posterior=posterior))
    inferred = compiled(model)[0](params, trials)

    @eqx.filter_jit
    def parts(params, inferred, inputs):
        found = model.messages(params, inferred, inputs, inferred.states.mean((0, 1)))
        dynamics, before = params.dynamics, inferred.states[:, :-1]
        means = dynamics.means(before, dynamics.driven(inputs[:, 1:]))
        step = jnp.einsum("btk,btks->bts", inferred.modes[:, 1:], means) - before
        return found.messages.sum(-2) + found.input_messages.sum(-2), step

    total, step = parts(params, inferred, trials.inputs)
    np.testing.assert_allclose(total[:, 1:], step, rtol=1e-4, atol=1e-4)
    assert not np.asarray(total[:, 0]).any()


@pytest.mark.parametrize(
    ("posterior", "kind"), list(zip(POSTERIORS, ["gru", "transformer"] * 2, strict=True))
)
def test_padding_never_changes_anything(kind, posterior):
    config = settings(posterior=posterior)
    config.encoder.kind = kind
    model, params, trials = make(config)
    infer, bound = compiled(model)
    there = trials.valid[..., None]
    noisy = trials._replace(values=trials.values + 1e3 * (1 - there), inputs=trials.inputs + 10 * (1 - there))
    before, after = (bound(params, each) for each in (trials, noisy))
    np.testing.assert_allclose(before.emissions, after.emissions, rtol=1e-6)
    np.testing.assert_allclose(before.states, after.states, rtol=1e-5)
    longer = Trials(*(np.pad(a, [(0, 0), (0, 3)] + [(0, 0)] * (a.ndim - 2)) for a in trials))
    short, long = infer(params, trials), infer(params, longer)
    for one, other in zip(short, long, strict=True):
        np.testing.assert_allclose(one * there, np.asarray(other)[:, :TIME] * there, atol=1e-5)


def test_a_neuron_that_is_not_scored_never_counts():
    model, params, trials = make()
    neuron, bound = 3, compiled(model)[1]  # a held-out one
    without = trials._replace(scored=trials.scored * (np.arange(len(REGIONS)) != neuron))
    changed = without._replace(values=without.values + 7.0 * (np.arange(len(REGIONS)) == neuron))
    whole, one, other = (bound(params, each) for each in (trials, without, changed))
    np.testing.assert_array_equal(one.emissions, other.emissions)
    np.testing.assert_array_equal(whole.path.states, one.path.states)
    alone = trials.scored * (np.arange(len(REGIONS)) == neuron)
    log_likelihood = eqx.filter_jit(lambda emissions, x: emissions.log_likelihood(trials.values, x, alone))
    term = np.asarray(log_likelihood(params.emissions, whole.path.states)).sum(-1)
    np.testing.assert_allclose(whole.emissions - one.emissions, term, rtol=1e-3)


@pytest.mark.parametrize("posterior", ["structured", "laplace"])
def test_what_is_held_out_never_reaches_the_posterior(posterior):
    model, params, trials = make(settings(posterior=posterior))
    infer = compiled(model)[0]
    shown = infer(params, trials).states
    hidden = trials._replace(values=trials.values + 5.0 * ~np.asarray(HELD_IN))
    np.testing.assert_array_equal(shown, infer(params, hidden).states)
    forward = np.array(trials.visible)
    forward[:, 3:] = 0
    cut = trials._replace(visible=forward)
    later = cut._replace(values=cut.values + 5.0 * (np.arange(TIME) >= 3)[:, None])
    np.testing.assert_array_equal(infer(params, cut).states, infer(params, later).states)


@pytest.mark.parametrize("posterior", ["structured", "laplace"])
def test_cosmoothing_hides_further_neurons(posterior):
    model, params, trials = make(settings(posterior=posterior))
    hidden = np.arange(len(REGIONS)) == 0
    cosmooth = eqx.filter_jit(lambda params, trials: model.cosmooth(params, trials, hidden))
    found = cosmooth(params, trials)
    other = trials._replace(values=trials.values + 5.0 * hidden)
    np.testing.assert_array_equal(found, cosmooth(params, other))
    assert np.abs(found - compiled(model)[0](params, trials).prediction).max() > 1e-4


def test_the_transformer_knows_where_a_bin_is():
    config = settings(posterior="mean_field")
    config.encoder.kind = "transformer"
    model, params, trials = make(config)
    same = trials._replace(values=np.ones_like(trials.values), inputs=np.zeros_like(trials.inputs))
    states = np.asarray(compiled(model)[0](params, same).states)[0]
    assert np.abs(np.diff(states, axis=0)).max(-1).min() > 1e-4


def test_dropout_takes_its_share_of_each_regions_neurons_in_its_share_of_trials():
    regions = (0,) * 9 + (1,) * 5
    held_in = (True,) * 8 + (False,) + (True,) * 4 + (False,)
    config = settings(dropout_neurons=0.25, dropout_trials=0.5)
    model = MRSDS(regions, held_in, INPUTS, "poisson", config)
    kept = np.asarray(jax.jit(lambda key: model.kept_neurons(key, 2000))(jax.random.key(0)))
    dropped = 1 - kept
    chosen = dropped.any(1)
    assert abs(chosen.mean() - 0.5) < 0.05
    np.testing.assert_array_equal(dropped[chosen][:, :9].sum(1), 2)
    np.testing.assert_array_equal(dropped[chosen][:, 9:].sum(1), 1)
    assert not dropped[:, ~np.asarray(held_in)].any()
    np.testing.assert_allclose(dropped[chosen][:, :8].mean(0), 0.25, atol=0.06)


def test_dropout_hides_neurons_from_the_encoder_that_are_scored_all_the_same():
    model, params, trials = make(settings(dropout_neurons=0.5, dropout_trials=1.0))
    key = jax.random.key(5)
    hidden = 1 - np.asarray(model.kept_neurons(key, TRIALS))[:, None]
    assert hidden.any(-1).all()

    @eqx.filter_jit
    def bound(values):
        return model.bound(params, trials._replace(values=values), key=jax.random.key(1), dropout_key=key)

    values = jnp.asarray(trials.values)
    whole, other = bound(values), bound(values + 5.0 * hidden * trials.valid[..., None])
    np.testing.assert_array_equal(whole.path.states, other.path.states)
    assert (np.abs(whole.emissions - other.emissions) > 1e-3).all()
    seen = bound(values + 5.0 * (1 - hidden) * trials.valid[..., None])
    assert np.abs(whole.path.states - seen.path.states).max() > 1e-3


def test_overshooting_and_roughness_are_no_part_of_the_bound():
    plain, params, trials = make()
    model, *_ = make(settings(overshooting=2, overshooting_weight=3.0, smoothness=0.5))
    alone, more = (
        eqx.filter_jit(lambda params, model=model: model.score(params, trials, key=jax.random.key(2)))(params)
        for model in (plain, model)
    )
    assert set(alone) == {"emissions", "states", "bound"}
    assert set(more) - set(alone) == {"overshooting", "smoothness"}
    np.testing.assert_allclose(alone["emissions"] + alone["states"], alone["bound"], rtol=1e-6)
    np.testing.assert_allclose([more[name] for name in alone], list(alone.values()), rtol=1e-5)


@pytest.mark.parametrize("family", ["poisson", "negative_binomial"])
@pytest.mark.parametrize("link", ["exp", "softplus"])
def test_probabilities_of_counts_add_up(family, link):
    _, params, _ = make(settings(emissions=EmissionConfig(layers=[3], link=link)), family=family)
    counts, x = np.arange(400, dtype=np.float32)[:, None], np.array([0.2, -0.4, 0.3], np.float32)

    @eqx.filter_jit
    def of_each(emissions):
        """Log probability of each count, (count, neuron), and the mean."""
        alone = jnp.eye(len(REGIONS))[None]
        given = jnp.broadcast_to(counts[..., None], (400, *alone.shape[1:]))
        return emissions.log_likelihood(given, jnp.asarray(x), alone), emissions.mean(jnp.asarray(x))

    log_p, mean = (np.asarray(part, np.float64) for part in of_each(params.emissions))
    p, variance = np.exp(log_p), mean.copy()
    if family == "negative_binomial":
        variance += mean**2 / np.exp(params.emissions.log_dispersion)
    np.testing.assert_allclose(p.sum(0), 1.0, rtol=1e-4)
    np.testing.assert_allclose((p * counts).sum(0), mean, rtol=1e-3)
    np.testing.assert_allclose((p * (counts - mean) ** 2).sum(0), variance, rtol=1e-3)


@pytest.mark.parametrize("layers", [[], [3, 4]])
def test_the_readout_is_the_emissions_of_each_region(layers):
    _, params, _ = make(settings(emissions=EmissionConfig(layers=layers)))
    x = np.random.default_rng(3).normal(size=(7, 3)).astype(np.float32)
    found = readout(params.emissions, scale=100.0).evaluate(x)
    mean = eqx.filter_jit(lambda emissions, x: (emissions.mean(x), jax.jacobian(emissions.mean)(x[0])))
    expected, slope = mean(params.emissions, x)
    np.testing.assert_allclose(found, 100 * np.asarray(expected), rtol=1e-4)
    own = np.asarray(REGIONS)[:, None] == np.array([0, 0, 1])
    assert not np.asarray(slope)[~own].any()


@pytest.mark.parametrize(
    ("recurrence", "states", "inputs"),
    [("states", True, False), ("inputs", False, True), ("both", True, True), ("none", False, False)],
)
def test_modes_depend_on_what_they_may(recurrence, states, inputs):
    _, params, _ = make(settings(mode_transitions=ModeConfig(recurrence=recurrence, layers=[3])))
    x, u = np.zeros((2, 2, 3), np.float32), np.zeros((2, 2, INPUTS), np.float32)
    x[0, 1], u[1, 1] = 1.0, 1.0
    logs = eqx.filter_jit(lambda prior: (prior.log_transitions(x, u), prior.log_initial()))
    (by_x, by_u), first = (np.asarray(part) for part in logs(params.mode_prior))
    assert (np.abs(by_x[1] - by_x[0]).max() > 1e-4) == states
    assert (np.abs(by_u[1] - by_u[0]).max() > 1e-4) == inputs
    np.testing.assert_allclose(np.exp(by_x).sum(-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.exp(first).sum(), 1.0, rtol=1e-5)


def test_a_sample_without_noise_follows_the_dynamics_of_its_modes():
    model, params, trials = make()
    quiet = [
        dataclasses.replace(noise, log_scale=noise.log_scale - 30.0)
        for noise in (params.dynamics.noise, params.dynamics.initial_noise)
    ]
    dynamics = eqx.tree_at(lambda d: [d.noise, d.initial_noise], params.dynamics, quiet)
    params = params._replace(dynamics=dynamics)
    sample = eqx.filter_jit(lambda params, inputs: model.sample(params, inputs, jax.random.key(3)))
    drawn = jax.tree.map(np.asarray, sample(params, trials.inputs))
    portable, modes = portable_dynamics(model, params), np.asarray(drawn.modes)
    np.testing.assert_allclose(drawn.states[:, 0], np.asarray(dynamics.initial_mean)[modes[:, 0]], atol=1e-5)
    for k in range(1, TIME):
        expected = portable.step(drawn.states[:, k - 1], trials.inputs[:, k], modes[:, k])
        np.testing.assert_allclose(drawn.states[:, k], expected, atol=1e-4)
    assert drawn.values.shape == (TRIALS, TIME, len(REGIONS))
    assert len(np.unique(modes)) == 2


def test_a_forecast_and_overshooting_are_steps_of_the_mean():
    model, params, trials = make()
    inferred = jax.tree.map(np.asarray, compiled(model)[0](params, trials))
    inputs, ahead = (
        trials.inputs,
        eqx.filter_jit(lambda *given: advance(params.dynamics, params.mode_prior, *given)),
    )

    @eqx.filter_jit
    def both(params, states, modes):
        parts = (params.dynamics, params.mode_prior, params.emissions)
        overshot = overshooting(*parts, inferred.states, inferred.modes, trials, 2)
        return model.forecast(params, states, modes, jnp.asarray(inputs[:, 2:5])), overshot

    found, overshot = both(params, inferred.states[:, 1], inferred.modes[:, 1])
    log_likelihood = eqx.filter_jit(params.emissions.log_likelihood)
    states, modes = inferred.states[:, 1], inferred.modes[:, 1]
    for k in range(3):
        states, modes = ahead(states, modes, inputs[:, 2 + k])
        np.testing.assert_allclose(found[0][:, k], states, atol=1e-5)
        np.testing.assert_allclose(found[1][:, k], modes, atol=1e-5)
    mean = eqx.filter_jit(params.emissions.mean)(states)
    np.testing.assert_allclose(found[2][:, 2], mean, rtol=1e-4)
    expected = []
    for bins in (1, 2):
        total = count = 0.0
        for start in range(TIME - bins):
            x, modes = inferred.states[:, start], inferred.modes[:, start]
            for k in range(start + 1, start + bins + 1):
                x, modes = ahead(x, modes, inputs[:, k])
            scored = trials.scored[:, start + bins]
            total -= np.asarray(log_likelihood(trials.values[:, start + bins], x, scored)).sum()
            count += scored.sum()
        expected.append(total / count)
    np.testing.assert_allclose(overshot, np.mean(expected), rtol=1e-4)


def test_the_gradient_of_overshooting_is_automatic_differentiation_s(monkeypatch):
    """The emissions' gradient is found in the forward pass."""
    model, params, trials = make()
    inferred = jax.tree.map(np.asarray, compiled(model)[0](params, trials))
    arrays, rest = eqx.partition(
        (params.emissions, params.dynamics, jnp.asarray(inferred.states)), eqx.is_inexact_array
    )

    def value(arrays):
        emissions, dynamics, states = eqx.combine(arrays, rest)
        return 3.0 * overshooting(dynamics, params.mode_prior, emissions, states, inferred.modes, trials, 2)

    def plain(emissions, states, values, scored):
        return jnp.sum(emissions.log_ratio(values, states, scored))

    found, gradient = jax.jit(jax.value_and_grad(value))(arrays)
    monkeypatch.setattr(module, "_log_ratio", plain)
    expected, slopes = jax.jit(jax.value_and_grad(lambda arrays: value(arrays)))(arrays)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    for mine, theirs in zip(jax.tree.leaves(gradient), jax.tree.leaves(slopes), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
    assert all(any(np.any(leaf) for leaf in jax.tree.leaves(part)) for part in slopes)


@pytest.mark.parametrize("posterior", ["structured", "chain"])
def test_forecasts_see_nothing_of_what_they_are_of(posterior):
    model, params, trials = make(settings(posterior=posterior))
    full = trials._replace(valid=np.ones_like(trials.valid), visible=np.ones_like(trials.visible))
    ahead = eqx.filter_jit(lambda trials: forecasts(model, params, trials, [1, 3]))
    last, later = 2, np.arange(TIME)[:, None] > 2
    found, other = ahead(full), ahead(full._replace(values=np.where(later, 7.0, full.values)))
    for bins in (1, 3):
        assert found[bins].shape == trials.values.shape
        told = last + bins + 1
        np.testing.assert_array_equal(found[bins][:, :told], other[bins][:, :told])
        if told < TIME:
            assert np.abs(found[bins][:, told:] - other[bins][:, told:]).max() > 1e-4


@pytest.mark.parametrize("posterior", ["laplace", "mean_field"])
def test_forecasts_begin_at_the_path_found_a_bin_before(posterior):
    """A plain loop over bins, which never asks the encoder."""
    model, params, trials = make(settings(posterior=posterior, laplace_steps=1))
    found = eqx.filter_jit(lambda params: forecasts(model, params, trials, [1]))(params)[1]
    noise = jax.tree.map(lambda leaf: leaf + 1.0 if eqx.is_inexact_array(leaf) else leaf, params.encoder.head)
    other = params._replace(encoder=dataclasses.replace(params.encoder, head=noise))
    np.testing.assert_array_equal(found, eqx.filter_jit(lambda p: forecasts(model, p, trials, [1]))(other)[1])

    inputs = jnp.asarray(trials.inputs)
    newton = dataclasses.replace(model, settings=settings(posterior="laplace", laplace_steps=1))
    infer = eqx.filter_jit(lambda cut, start: newton.infer(params, cut, start=start))
    step = eqx.filter_jit(lambda *given: model.forecast(params, *given))
    modes = jnp.exp(params.mode_prior.log_initial())[None]
    start = jnp.zeros((TRIALS, TIME, 3)).at[:, 0].set(modes[0] @ params.dynamics.initial_mean)
    modes = jnp.tile(modes, (TRIALS, 1))
    for k in range(1, TIME):
        states, modes, _ = step(start[:, k - 1], modes, inputs[:, k : k + 1])
        start, modes = start.at[:, k].set(states[:, 0]), modes[:, 0]
    for k in range(TIME - 1):
        seen = (np.arange(TIME) <= k).astype(np.float32)
        inferred = infer(trials._replace(valid=trials.valid * seen, visible=trials.visible * seen), start)
        states, _, activity = step(inferred.states[:, k], inferred.modes[:, k], inputs[:, k + 1 : k + 2])
        np.testing.assert_allclose(found[:, k + 1], activity[:, 0], rtol=2e-3, atol=1e-4)
        start = inferred.states.at[:, k + 1].set(states[:, 0])


def test_another_posterior_has_no_start():
    model, params, trials = make()
    with pytest.raises(ValueError, match="start needs posterior=laplace, got structured"):
        model.infer(params, trials, start=np.zeros((TRIALS, TIME, 3)))


def test_regions_and_states_must_fit():
    with pytest.raises(ValueError, match=r"states: expected one number or 2, got \[1, 2, 3\]"):
        MRSDS(REGIONS, HELD_IN, INPUTS, "poisson", settings(states=[1, 2, 3]))


def test_structured_states_are_expected_by_the_modes_of_the_path_so_far():
    """Of no bin to come: the means' weights are what a filter over modes says, times the encoder's."""
    model, params, trials = make(settings(posterior="structured"))

    @eqx.filter_jit
    def parts(params, trials):
        code = model.encode(params, trials)
        path = model.path(params, code, trials, jax.random.key(4))
        prior, likelihoods = params.mode_prior, mode_posterior.likelihoods(params.dynamics, path)
        moves = prior.log_transitions(path.states[:, :-1], trials.inputs[:, 1:])
        predicted = [jnp.broadcast_to(jnp.exp(prior.log_initial()), (TRIALS, 2))]
        for k in range(1, TIME):
            past = hmm.marginals(prior.log_initial(), moves[:, : k - 1], likelihoods[:, :k]).modes[:, -1]
            predicted.append(jnp.einsum("bi,bij->bj", past, jnp.exp(moves[:, k - 1])))
        weights = jnp.stack(predicted, 1) * jnp.exp(code.modes)
        weights = weights / weights.sum(-1, keepdims=True)
        return path.centre, jnp.einsum("btk,btks->bts", weights, path.means) + code.offset, weights

    centre, expected, weights = parts(params, jax.tree.map(jnp.asarray, trials))
    np.testing.assert_allclose(centre, expected, atol=1e-4)
    assert np.std(weights[:, 1:]) > 0.05


def test_the_encoders_outputs_are_parts_that_do_not_overlap():
    size, modes = 3, 2
    output = np.arange(2 * size + modes, dtype=np.float32)[None, None]
    seen = np.ones((1, 1, 4), np.float32)
    code = decode(jnp.asarray(output), Covariance.start(size, 0.1, full=False), modes, seen)
    np.testing.assert_allclose(code.offset[0, 0], [0, 1, 2])
    np.testing.assert_allclose(code.factor[0, 0], 0.1 * np.exp([3, 4, 5]), rtol=1e-5)
    np.testing.assert_allclose(np.diff(code.modes[0, 0]), 1.0, rtol=1e-5)


def test_noise_starts_at_its_own_scale_whatever_the_number_of_states():
    for size in (2, 40):
        np.testing.assert_allclose(Covariance.start(size, 0.3, full=False).factor(), 0.3, rtol=1e-6)
    config = settings()
    model = MRSDS(REGIONS, HELD_IN, INPUTS, "gaussian", config)
    std = np.linspace(0.5, 3.0, len(REGIONS)).astype(np.float32)
    params, _ = eqx.filter_jit(model.initialize)(jax.random.key(0), np.zeros_like(std), std)
    np.testing.assert_allclose(params.emissions.noise.factor(), std, rtol=1e-5)
    np.testing.assert_allclose(params.dynamics.noise.factor(), config.dynamics.noise_std, rtol=1e-5)


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_saved_and_loaded_parameters_infer_the_same(posterior, tmp_path):
    model, params, trials = make(settings(posterior=posterior))
    infer, path = compiled(model)[0], tmp_path / "params.safetensors"
    arrays, static = eqx.partition(params, eqx.is_array)
    checkpoint.save(path, arrays)
    other = jax.tree.map(np.zeros_like, arrays)
    loaded = eqx.combine(checkpoint.load(path, other), static)
    for before, after in zip(infer(params, trials), infer(loaded, trials), strict=True):
        np.testing.assert_array_equal(before, after)
