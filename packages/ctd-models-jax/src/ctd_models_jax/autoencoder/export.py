"""From a fitted model to a contract file: inferred signals, portable dynamics, readout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import ctd_contract as cc
from ctd_contract.dynamics import GRU, Affine, Dynamics
from ctd_contract.readout import Layer
from ctd_models_jax.autoencoder.model import Inferred, Parameters, SequentialAutoencoder, decode
from ctd_models_jax.recording import Recording
from ctd_models_jax.sequences import AffineCell


def infer_all(
    model: SequentialAutoencoder, params: Parameters, recording: Recording, *, trials: int = 256
) -> Inferred:
    """Infer every trial, a block at a time."""
    infer = jax.jit(lambda block: model.infer(params, model.shown(block.counts), block))
    starts = range(0, recording.counts.shape[0], trials)
    blocks = [infer(jax.tree.map(lambda a, at=at: a[at : at + trials], recording)) for at in starts]
    return jax.tree.map(lambda *parts: np.concatenate([np.asarray(p) for p in parts]), *blocks)


def portable_dynamics(params: Parameters, inputs: Sequence[str]) -> Dynamics:
    """The decoder as a contract's dynamics."""
    cell = jax.tree.map(lambda a: np.asarray(a, np.float64), params.decoder)
    if isinstance(cell, AffineCell):
        return Affine(cell.A, cell.B, cell.c, inputs=tuple(inputs))
    bias_state = np.concatenate([np.zeros(2 * cell.hidden_size), cell.bias_n])
    return GRU(cell.weight_ih, cell.weight_hh, cell.bias, bias_state, reset="after", inputs=tuple(inputs))


def probe(params: Parameters, states: np.ndarray, inputs: np.ndarray, *, seed: int) -> cc.Probe:
    """64 visited states and inputs, and where this model's own code takes them, in float64."""
    rows = np.random.default_rng(np.random.SeedSequence([seed, 64])).integers(states.shape[:2], size=(64, 2))
    state = states[rows[:, 0], rows[:, 1]].astype(np.float64)
    given = inputs[rows[:, 0], rows[:, 1]].astype(np.float64)
    with jax.enable_x64(True):
        cell = jax.tree.map(lambda a: jnp.asarray(np.asarray(a), jnp.float64), params.decoder)
        following = decode(cell, jnp.asarray(given[:, None]), jnp.asarray(state))[:, 0]
        return cc.Probe(state, given, np.asarray(following))


def write(
    path: Path,
    data: str | Path,
    model: SequentialAutoencoder,
    params: Parameters,
    recording: Recording,
    *,
    name: str,
    inputs: Sequence[str],
    seed: int,
    config: dict,
) -> None:
    """Write the inference file of a fitted model for every trial of its recording."""
    inferred = infer_all(model, params, recording)
    with cc.open(data) as file:
        bin_width_s = file.bin_width_s
    weight, bias = (np.asarray(a, np.float64) for a in (params.readout.weight, params.readout.bias))
    cc.write_inference(
        path,
        data,
        rates=np.exp(inferred.log_counts) / bin_width_s,
        states=inferred.states,
        initial_state=inferred.initial_state,
        dynamics=portable_dynamics(params, inputs),
        probe=probe(params, np.asarray(inferred.states), recording.inputs, seed=seed),
        readout=cc.Readout([Layer(weight, bias, "exp")], scale=1 / bin_width_s),
        name=name,
        model=name,
        producer="ctd-models-jax",
        seed=seed,
        config=config,
    )
