"""From a fitted model to a contract file: inferred signals, messages, portable dynamics, readout."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import ctd_contract as cc
from ctd_contract.dynamics import Probe, SwitchingMLP
from ctd_contract.readout import Layer
from ctd_models_jax.in_blocks import in_blocks
from ctd_models_jax.mrsds.emissions import Emissions
from ctd_models_jax.mrsds.forecasts import forecasts
from ctd_models_jax.mrsds.model import MRSDS, Parameters
from ctd_models_jax.mrsds.regions import Networks, places
from ctd_models_jax.mrsds.results import Inferred, Messages
from ctd_models_jax.mrsds.sessions import Session
from ctd_models_jax.origin import Origin
from ctd_models_jax.portable import in_float64


def portable_dynamics(model: MRSDS, params: Parameters) -> SwitchingMLP:
    """F as dynamics of the contract."""
    dynamics, settings = params.dynamics, model.settings.dynamics
    between, given = dynamics.networks, dynamics.input_networks
    noise = np.asarray(dynamics.noise.factor(), np.float64)
    variance = (noise**2).sum(-1) if noise.ndim == 2 else noise**2
    optional: dict[str, Any] = {}
    if between.local_weights is not None:
        optional["local_weights"] = _arrays(between.local_weights)
    if given is not None:
        optional["input_weights"] = _arrays(given.weights)
        optional["input_biases"] = [np.zeros(weight.shape[:-1]) for weight in given.weights]
        optional["input_sizes"] = given.source_sizes
        optional["input_activation"] = given.activation
    return SwitchingMLP(
        _arrays(between.weights),
        _biases(between),
        region_sizes=model.sizes,
        activation=between.activation,
        communication=settings.communication,
        output=settings.output,
        noise_std=float(np.sqrt(variance.mean())),
        inputs=tuple(model.settings.inputs),
        **optional,
    )


def probe(params: Parameters, inferred: Inferred, inputs: np.ndarray, *, seed: int) -> Probe:
    """Visited states, and where our own code takes them in float64 in their likeliest modes."""
    modes = np.asarray(inferred.modes).argmax(-1)
    labelled = np.concatenate([inputs, modes[..., None]], -1)
    state, given = Probe.points(inferred.states, labelled, seed)
    given, mode = given[:, :-1], given[:, -1].astype(np.int64)
    with jax.enable_x64(True):
        exact = in_float64(params.dynamics)
        means = exact.means(jnp.asarray(state), exact.driven(jnp.asarray(given)))
        chosen = np.asarray(means)[np.arange(len(mode)), mode]
    several = params.dynamics.modes > 1
    return Probe(state, given, chosen, mode if several else None)


def readout(emissions: Emissions, *, scale: float) -> cc.Readout:
    """Networks of all regions as one, with zeros between the regions."""
    networks, region = emissions.networks, places(emissions.sizes)[0]
    layers = []
    for layer in range(len(networks[0].weights)):
        last = layer == len(networks[0].weights) - 1
        parts = [np.asarray(network.weights[layer], np.float64) for network in networks]
        weight = np.zeros((sum(p.shape[0] for p in parts), sum(p.shape[1] for p in parts)))
        row = column = 0
        for part in parts:
            weight[row : row + part.shape[0], column : column + part.shape[1]] = part
            row, column = row + part.shape[0], column + part.shape[1]
        bias = np.concatenate([np.asarray(network.biases[layer], np.float64) for network in networks])
        if last:
            order = np.asarray(emissions.order)
            weight, bias = weight[order], bias[order]
        outwards = "identity" if emissions.family == "gaussian" else emissions.link
        layers.append(Layer(weight, bias, outwards if last else networks[0].activation))
    if layers[0].weight.shape[1] != len(region):
        raise ValueError(f"expected networks of {len(region)} states, got {layers[0]!r}")
    return cc.Readout(layers, scale=scale)


def write(
    path: Path,
    session: Session,
    model: MRSDS,
    params: Parameters,
    origin: Origin,
    *,
    count_from_mean: bool,
    ahead: Sequence[int] = (),
) -> None:
    """Write the inference file of a fitted model for every trial of its recording.

    Args:
        path: The file; one that is there is of this run, and replaced.
        session: The recording.
        model: The model.
        params: Its parameters.
        origin: Where the file comes from.
        count_from_mean: Whether messages are counted from the mean of all inferred states.
        ahead: How many bins ahead forecasts are made.
    """
    trials, file_regions = session.recording.trials, np.asarray(session.file_regions)
    inferred: Inferred = in_blocks(model.infer, params, trials)
    valid = np.asarray(trials.valid) > 0
    reference = jnp.asarray(inferred.states[valid].mean(0)) if count_from_mean else None

    def told(params: Parameters, block: tuple[Inferred, Array]) -> tuple[Array, Array]:
        found: Messages = model.messages(params, *block, reference)
        return found.messages, found.input_messages

    messages, input_messages = in_blocks(told, params, (inferred, trials.inputs))
    per_input = model.inputs > 0 and input_messages.shape[2] == model.inputs
    counts = model.family != "gaussian"
    scale = 1 / session.identity.bin_width_s if counts else 1.0
    signals: dict[str, Any] = {"rates" if counts else "activity_prediction": inferred.prediction * scale}
    if ahead:
        blocks = in_blocks(partial(forecasts, model, bins=tuple(ahead)), params, trials)
        signals |= {f"forecast_{bins}": blocks[bins] * scale for bins in ahead}
    cc.write_inference(
        path,
        session.path,
        **signals,
        states=inferred.states,
        mode_probability=inferred.modes if model.settings.modes > 1 else None,
        messages=messages[:, :, np.argsort(file_regions)],
        input_messages=input_messages if per_input else None,
        dynamics=portable_dynamics(model, params),
        probe=probe(params, inferred, trials.inputs, seed=origin.seed),
        readout=readout(params.emissions, scale=scale),
        columns={("states", "region"): file_regions[places(model.sizes)[0]].astype(np.int32)},
        name=origin.name,
        model="mrsds",
        **origin.provenance,
    )


def _arrays(values: Sequence[Array]) -> list[np.ndarray]:
    return [np.asarray(value, np.float64) for value in values]


def _biases(networks: Networks) -> list[np.ndarray]:
    if networks.biases is None:
        return [np.zeros(weight.shape[:-1]) for weight in networks.weights]
    return _arrays(networks.biases)
