"""Predictions some bins ahead, each from the bins before alone."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ctd_models_jax.mrsds.model import MRSDS, Parameters
from ctd_models_jax.mrsds.results import Inferred
from ctd_models_jax.recording import Trials


def forecasts(model: MRSDS, params: Parameters, trials: Trials, bins: Sequence[int]) -> dict[int, Array]:
    """Expected counts or activity, by how many bins ahead: row k is of bin k, told by bins up to k - bins.

    The encoder runs once for each bin of a trial, so that it never sees what comes after. Rows before
    `bins` are told by no activity at all. Inputs are known throughout.

    Args:
        model: The model.
        params: Its parameters.
        trials: The trials.
        bins: How far ahead, in bins.

    Returns:
        (trial, time, neuron) for each of `bins`.
    """
    time, farthest = np.arange(trials.values.shape[1]), max(bins)
    inputs = jnp.pad(jnp.asarray(trials.inputs), [(0, 0), (0, farthest), (0, 0)])

    def until(last: Array | int) -> Inferred:
        seen = jnp.asarray(time <= last, jnp.float32)
        return model.infer(params, trials._replace(visible=trials.visible * seen, valid=trials.valid * seen))  # type: ignore[arg-type]

    def ahead(last: Array) -> Array:
        found = until(last)
        states, modes = (jnp.take(array, last, 1) for array in (found.states, found.modes))
        given = jax.lax.dynamic_slice_in_dim(inputs, last + 1, farthest, 1)
        return model.forecast(params, states, modes, given)[2][:, np.asarray(bins) - 1]

    from_bin = jnp.moveaxis(jax.lax.map(ahead, jnp.arange(len(time))), 0, 1)  # (trial, time, bins, neuron)
    blind = until(-1).prediction
    return {
        n: jnp.concatenate([blind[:, :n], from_bin[:, : max(len(time) - n, 0), index]], 1)[:, : len(time)]
        for index, n in enumerate(bins)
    }
