"""Predictions some bins ahead, each from the bins before alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ctd_models_jax.mrsds.model import MRSDS, Parameters
from ctd_models_jax.mrsds.results import Inferred
from ctd_models_jax.recording import Trials


def forecasts(model: MRSDS, params: Parameters, trials: Trials, bins: Sequence[int]) -> dict[int, Array]:
    """Expected counts or activity, by how many bins ahead: row k is of bin k, told by bins up to k - bins.

    States are inferred once for each bin of a trial, so that they never see what comes after: by Newton's
    method in the model itself (`laplace`), whatever the posterior it was fitted with, since no encoder was
    trained on trials cut short. Each time it begins at the path found a bin before, led on by the dynamics.
    Rows before `bins` are told by no activity at all. Inputs are known throughout.

    Args:
        model: The model.
        params: Its parameters.
        trials: The trials.
        bins: How far ahead, in bins.

    Returns:
        (trial, time, neuron) for each of `bins`.
    """
    newton = replace(model.settings, posterior="laplace", objective="bound")
    model, params = replace(model, settings=newton), params._replace(links=None)
    time, farthest = np.arange(trials.values.shape[1]), max(bins)
    inputs = jnp.pad(jnp.asarray(trials.inputs), [(0, 0), (0, farthest), (0, 0)])

    def until(last: Array | int, start: Array) -> Inferred:
        seen = jnp.asarray(time <= last, jnp.float32)
        cut = trials._replace(visible=trials.visible * seen, valid=trials.valid * seen)  # type: ignore[arg-type]
        return model.infer(params, cut, start=start)

    def ahead(start: Array, last: Array) -> tuple[Array, Array]:
        found = until(last, start)
        states, modes = (jnp.take(array, last, 1) for array in (found.states, found.modes))
        given = jax.lax.dynamic_slice_in_dim(inputs, last + 1, farthest, 1)
        expected, _, activity = model.forecast(params, states, modes, given)
        start = jnp.where((time == last + 1)[:, None], expected[:, :1], found.states)
        return start, activity[:, np.asarray(bins) - 1]

    start = model.expected(params, inputs[:, : len(time)])
    blind = until(-1, start).prediction
    from_bin = jax.lax.scan(ahead, start, jnp.arange(len(time)))[1]
    from_bin = jnp.moveaxis(from_bin, 0, 1)  # (trial, time, bins, neuron)
    return {
        n: jnp.concatenate([blind[:, :n], from_bin[:, : max(len(time) - n, 0), index]], 1)[:, : len(time)]
        for index, n in enumerate(bins)
    }
