"""From a fitted model to contract files: two of each recording, of the network and of the linear system."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jax import Array

import ctd_contract as cc
from ctd_contract.dynamics import Dynamics
from ctd_contract.readout import Layer
from ctd_models_jax.in_blocks import in_blocks
from ctd_models_jax.jslds.step import linear_step
from ctd_models_jax.lfads_jslds.model import LFADSJSLDS, Inferred, Parameters
from ctd_models_jax.lfads_jslds.observations import expected_counts
from ctd_models_jax.origin import Origin
from ctd_models_jax.portable import float64_probe, network_step, portable, portable_jslds
from ctd_models_jax.sessions import Session


def network_dynamics(model: LFADSJSLDS, params: Parameters) -> Dynamics:
    """The network's dynamics, whose input is the inferred inputs, then the known ones."""
    controls = model.settings.controls
    inputs = [*(["inferred_inputs"] if controls else []), *model.settings.inputs]
    size = {"state_size": model.settings.units, "input_size": controls + model.inputs}
    return portable(params.cell, inputs, **size)


def jslds_dynamics(model: LFADSJSLDS, params: Parameters) -> Dynamics:
    """The linear system's."""
    return portable_jslds(network_dynamics(model, params), params.expansion, kept=_kept(model))


def write(
    paths: tuple[Path, Path],
    session: Session,
    index: int,
    model: LFADSJSLDS,
    params: Parameters,
    origin: Origin,
) -> None:
    """Write what both generators infer from every trial of a recording.

    Args:
        paths: The network's file, and the linear system's, which is written last.
        session: The recording.
        index: Which of the model's it is.
        model: The model.
        params: Its parameters.
        origin: Where the files come from; its name is the linear system's.
    """
    inferred: Inferred = in_blocks(partial(model.infer, session=index), params, session.recording.trials)
    shared: dict[str, Any] = {
        "initial_state": inferred.initial.mean,
        "initial_condition": inferred.initial.mean,
    }
    if params.initial_prior is not None:
        shared["initial_condition_std"] = inferred.initial.std
    if model.settings.controls:
        shared["inferred_inputs"] = inferred.inferred_inputs.mean
    if params.control_prior is not None:
        shared["inferred_inputs_std"] = inferred.inferred_inputs.std
    given = np.concatenate([inferred.inferred_inputs.mean, session.recording.trials.inputs], -1)
    network, linear = paths
    _file(
        *(network, f"{origin.name}_rnn", session, origin, shared),
        dynamics=network_dynamics(model, params),
        probe=float64_probe(network_step, params, inferred.states, given, seed=origin.seed),
        readout=_readout(params, index, session),
        signals={
            "states": inferred.states,
            "factors": inferred.factors,
            **_predicted(inferred.prediction, session),
        },
    )
    step = partial(_linear_step, kept=_kept(model))
    _file(
        *(linear, origin.name, session, origin, shared),
        dynamics=jslds_dynamics(model, params),
        probe=float64_probe(step, params, inferred.linear_states, given, seed=origin.seed),
        readout=_readout(params, index, session),
        signals={
            "states": inferred.linear_states,
            "factors": inferred.linear_factors,
            "expansion_points": inferred.points,
            **_predicted(inferred.linear_prediction, session),
        },
    )


def _file(
    path: Path,
    name: str,
    session: Session,
    origin: Origin,
    shared: Mapping[str, Any],
    *,
    signals: Mapping[str, Any],
    **system: Any,
) -> None:
    """Write one generator's file."""
    cc.write_inference(
        path,
        session.path,
        **shared,
        **signals,
        **system,
        name=name,
        model="lfads_jslds",
        **origin.provenance,
    )


def _predicted(prediction: Array, session: Session) -> dict[str, Any]:
    """Rates in spikes/s, or activity."""
    if session.recording.signal == "activity":
        return {"activity_prediction": prediction}
    return {"rates": np.asarray(expected_counts(prediction)) / session.identity.bin_width_s}


def _kept(model: LFADSJSLDS) -> np.ndarray:
    """(inferred and known input,) which inputs have u* = u."""
    return np.concatenate([np.zeros(model.settings.controls, bool), model.kept])


def _linear_step(params: Parameters, state: Array, given: Array, *, kept: np.ndarray) -> Array:
    cell, point = params.cell, params.expansion(state)
    return linear_step(cell, state, cell.project(given), point, cell.project(given * kept)).state


def _readout(params: Parameters, index: int, session: Session) -> cc.Readout:
    own = params.sessions[index].readout
    weight, bias, factors = (np.asarray(a, np.float64) for a in (own.weight, own.bias, params.factors()))
    counts = session.recording.signal == "spikes"
    layers = [Layer(factors), Layer(weight, bias, "exp" if counts else "identity")]
    return cc.Readout(layers, scale=1 / session.identity.bin_width_s if counts else 1.0)
