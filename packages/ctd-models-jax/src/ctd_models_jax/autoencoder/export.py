"""From a fitted model to a contract file: inferred signals, portable dynamics, readout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jax import Array

import ctd_contract as cc
from ctd_contract.readout import Layer
from ctd_models_jax.autoencoder.model import Inferred, Parameters, SequentialAutoencoder, decode
from ctd_models_jax.in_blocks import in_blocks
from ctd_models_jax.origin import Origin
from ctd_models_jax.portable import float64_probe, portable
from ctd_models_jax.recording import Trials


def write(
    path: Path,
    data: str | Path,
    model: SequentialAutoencoder,
    params: Parameters,
    trials: Trials,
    origin: Origin,
    *,
    inputs: Sequence[str],
) -> None:
    """Write the inference file of a fitted model for every trial of its recording."""

    def infer(params: Parameters, block: Trials) -> Inferred:
        return model.infer(params, model.shown(jnp.asarray(block.values)), block)

    inferred: Inferred = in_blocks(infer, params, trials)
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
        probe=float64_probe(_step, params, inferred.states, trials.inputs, seed=origin.seed),
        readout=cc.Readout([Layer(weight, bias, "exp")], scale=1 / bin_width_s),
        name=origin.name,
        model=origin.name,
        **origin.provenance,
    )


def _step(params: Parameters, state: Array, given: Array) -> Array:
    return decode(params.decoder, given[:, None], state)[:, 0]
