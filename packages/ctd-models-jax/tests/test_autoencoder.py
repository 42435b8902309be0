"""The sequential autoencoder: its equations, and what may and may not reach an inference."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ctd_contract.dynamics import GRU, Affine
from ctd_models_jax.autoencoder import SequentialAutoencoder
from ctd_models_jax.autoencoder.model import decode
from ctd_models_jax.portable import portable
from ctd_models_jax.recording import Trials
from ctd_models_jax.sequences import gru_scan

TRIALS, TIME, NEURONS, HELD_IN, INPUTS, UNITS = 5, 7, 6, 4, 2, 3


def make(cell="gru", lengths=(7, 7, 4, 2, 7), seed=0):
    rng = np.random.default_rng(seed)
    visible = (np.arange(TIME) < np.asarray(lengths)[:, None]).astype(np.float32)
    scored = np.repeat(visible[:, :, None], NEURONS, 2)
    counts = rng.poisson(1.0, (TRIALS, TIME, NEURONS)).astype(np.float32) * scored
    inputs = rng.normal(size=(TRIALS, TIME, INPUTS)).astype(np.float32)
    trials = Trials(counts, visible, visible, scored, inputs)
    held_in = tuple(i < HELD_IN for i in range(NEURONS))
    model = SequentialAutoencoder(held_in, INPUTS, cell, units=UNITS, encoder_units=4)
    params, trainable = model.initialize(jax.random.key(seed), jnp.asarray(counts.mean((0, 1))))
    return model, params, trainable, trials


def infer(model, params, trials):
    return model.infer(params, model.shown(jnp.asarray(trials.values)), trials)


@pytest.mark.parametrize(("cell", "kind"), [("gru", GRU), ("lds", Affine)])
def test_decoder_equals_the_contracts_dynamics(cell, kind):
    model, params, _, trials = make(cell)
    dynamics = portable(params.decoder, ("inputs",), state_size=UNITS, input_size=INPUTS)
    assert isinstance(dynamics, kind)
    inferred = infer(model, params, trials)
    state = np.asarray(inferred.initial_state, np.float64)
    for k in range(TIME):
        state = dynamics.step(state, trials.inputs[:, k])
        np.testing.assert_allclose(inferred.states[:, k], state, atol=1e-5)


def test_readout_starts_at_the_log_mean_counts():
    _, params, _, trials = make()
    np.testing.assert_allclose(np.exp(params.readout.bias), trials.values.mean((0, 1)), rtol=1e-5)


def test_padding_never_changes_an_inference():
    model, params, _, trials = make()
    before = infer(model, params, trials)
    noisy = trials._replace(values=trials.values + 50 * (1 - trials.scored))
    after = infer(model, params, noisy)
    np.testing.assert_array_equal(before.initial_state, after.initial_state)


def test_held_out_neurons_never_reach_the_encoder():
    model, params, _, trials = make()
    changed = trials.values.copy()
    changed[..., HELD_IN:] += 3
    np.testing.assert_array_equal(
        infer(model, params, trials).log_counts,
        infer(model, params, trials._replace(values=changed)).log_counts,
    )


def test_gru_scan_holds_the_state_where_masked():
    _, params, _, trials = make()
    state = jnp.ones((TRIALS, UNITS))
    mask = jnp.asarray(trials.visible)
    states = gru_scan(params.decoder, jnp.asarray(trials.inputs), state, mask)
    np.testing.assert_array_equal(states[3, 2:], jnp.broadcast_to(states[3, 1], (TIME - 2, UNITS)))
    full = decode(params.decoder, jnp.asarray(trials.inputs), state)
    np.testing.assert_allclose(states[0], full[0], rtol=1e-6)


def test_loss_is_the_mean_over_scored_counts():
    model, params, _, trials = make()
    log_counts = np.asarray(infer(model, params, trials).log_counts, np.float64)
    error = np.exp(log_counts) - trials.values * log_counts
    expected = error[trials.scored > 0].mean()
    loss = model.loss(params, trials, key=None, hidden_share=0.0)
    assert float(loss["poisson"]) == pytest.approx(expected, rel=1e-5)


def test_coordinated_dropout_scores_only_what_it_hid():
    """With next to nothing hidden, only the held-out neurons remain to be scored."""
    model, params, _, trials = make()
    model = SequentialAutoencoder(**{**vars(model), "dropout": 0.0})
    held_out = trials._replace(scored=trials.scored * (np.arange(NEURONS) >= HELD_IN))
    expected = model.loss(params, held_out, key=None, hidden_share=0.0)
    loss = model.loss(params, trials, key=jax.random.key(1), hidden_share=1e-9)
    assert float(loss["poisson"]) == pytest.approx(float(expected["poisson"]), rel=1e-5)
