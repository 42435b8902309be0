"""From a fitted model to a contract file: inferred signals, portable dynamics, readout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jax import Array

import ctd_contract as cc
from ctd_contract.readout import Layer
from ctd_models_jax.autoencoder.model import Inferred, Parameters, SequentialAutoencoder, decode
from ctd_models_jax.portable import float64_probe, portable
from ctd_models_jax.recording import Recording


def infer_all(
    model: SequentialAutoencoder, params: Parameters, recording: Recording, *, trials: int = 256
) -> Inferred:
    """Infer every trial, a block at a time."""
    infer = jax.jit(lambda block: model.infer(params, model.shown(block.counts), block))
    starts = range(0, recording.counts.shape[0], trials)
    blocks = [infer(jax.tree.map(lambda a, at=at: a[at : at + trials], recording)) for at in starts]
    return jax.tree.map(lambda *parts: np.concatenate([np.asarray(p) for p in parts]), *blocks)


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
        dynamics=portable(params.decoder, inputs, state_size=model.units, input_size=model.inputs),
        probe=float64_probe(_step, params, inferred.states, recording.inputs, seed=seed),
        readout=cc.Readout([Layer(weight, bias, "exp")], scale=1 / bin_width_s),
        name=name,
        model=name,
        producer="ctd-models-jax",
        seed=seed,
        config=config,
    )


def _step(params: Parameters, state: Array, given: Array) -> Array:
    return decode(params.decoder, given[:, None], state)[:, 0]
