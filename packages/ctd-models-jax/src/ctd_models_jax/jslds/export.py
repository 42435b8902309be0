"""A co-trained network as a task file, and its JSLDS as an inference whose parent that is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array

import ctd_contract as cc
from ctd_contract import dynamics as kinds
from ctd_contract.readout import Layer
from ctd_models_jax.jslds.model import JSLDS, Parameters, Rollout
from ctd_models_jax.origin import Origin
from ctd_models_jax.portable import float64_probe, network_step, portable, portable_jslds
from ctd_models_jax.tasks import TaskConfig, Trials


def network_dynamics(model: JSLDS, params: Parameters) -> kinds.Dynamics:
    """The network's dynamics, in portable form."""
    return portable(params.cell, ("inputs",), state_size=model.units, input_size=model.inputs)


def jslds_dynamics(model: JSLDS, params: Parameters) -> kinds.Dynamics:
    """The linear system's; opaque where the network's are."""
    network, learned = network_dynamics(model, params), model.learned_input_point
    return portable_jslds(network, params.expansion, kept=model.kept(), learned=learned)


def write_network(
    path: Path,
    model: JSLDS,
    params: Parameters,
    task: TaskConfig,
    trials: Trials,
    run: Rollout,
    origin: Origin,
) -> None:
    """Write the co-trained network's run through trials, and its dynamics, as a file of kind task."""
    with _file(path, "task", task, len(trials.inputs), origin) as writer:
        _common(writer, task, origin.seed, len(trials.inputs))
        signals = {
            "inputs": trials.inputs,
            "inputs_clean": trials.inputs_clean,
            "targets": trials.targets,
            "states": run.states,
            "outputs": run.outputs,
            "initial_state": _initial(params, len(trials.inputs)),
        }
        _signals(writer, signals)
        writer.names("target", task.target_names)
        dynamics = network_dynamics(model, params)
        visited = (run.states, trials.inputs)
        writer.dynamics(dynamics, _probe(dynamics, network_step, params, visited, origin.seed))
        writer.readout(_readout(params))


def write_jslds(
    path: Path,
    network: Path,
    model: JSLDS,
    params: Parameters,
    task: TaskConfig,
    trials: Trials,
    run: Rollout,
    origin: Origin,
) -> None:
    """Write the linear system's run through the same trials, as an inference from the network's file."""
    with cc.open(network) as source:
        parents = [source.parent(role="network")]
    # The trials of a task have no neurons.
    with _file(
        path, "inference", task, len(trials.inputs), origin, parents=parents, axes={"neuron": 0}
    ) as writer:
        _common(writer, task, origin.seed, len(trials.inputs))
        signals = {
            "inputs": trials.inputs,
            "states": run.linear_states,
            "outputs": run.linear_outputs,
            "expansion_points": run.points,
            "initial_state": _initial(params, len(trials.inputs)),
        }
        _signals(writer, signals)

        def step(params: Parameters, state: Array, given: Array) -> Array:
            here = params._replace(initial_state=state)
            return model.infer(here, given[:, None]).linear_states[:, 0]

        dynamics = jslds_dynamics(model, params)
        visited = (run.linear_states, trials.inputs)
        writer.dynamics(dynamics, _probe(dynamics, step, params, visited, origin.seed))
        writer.readout(_readout(params))


def _file(path: Path, kind: str, task: TaskConfig, n_trials: int, origin: Origin, **more: Any) -> cc.Writer:
    return cc.create(
        path,
        kind,
        name=origin.name,
        trial=n_trials,
        time=task.bin_width_s * np.arange(task.n_time),
        bin_width_s=task.bin_width_s,
        **origin.provenance,
        **more,
    )


def _common(writer: cc.Writer, task: TaskConfig, seed: int, n_trials: int) -> None:
    """Splits, names and the bins that are scored."""
    split = np.full(n_trials, cc.SPLITS["test"], np.uint8)
    split[: round(0.8 * n_trials)] = cc.SPLITS["valid"]
    split[: round(0.7 * n_trials)] = cc.SPLITS["train"]
    writer.column(
        "trials", "split", np.random.default_rng(np.random.SeedSequence([seed, 70])).permutation(split)
    )
    writer.phase("scored", np.tile(np.array([task.first_scored, task.n_time], np.int32), (n_trials, 1)))
    writer.axis("input", len(task.input_names))
    writer.axis("output", len(task.target_names))
    writer.names("input", task.input_names)
    writer.names("output", task.target_names)


def _signals(writer: cc.Writer, signals: Mapping[str, Array]) -> None:
    for name, values in signals.items():
        writer.signal(name, np.asarray(values, np.float32), unit="1")


def _initial(params: Parameters, n_trials: int) -> Array:
    return jax.numpy.broadcast_to(params.initial_state, (n_trials, len(params.initial_state)))


def _probe(
    dynamics: kinds.Dynamics, step: Any, params: Parameters, visited: tuple[Array, Array], seed: int
) -> kinds.Probe | None:
    return None if isinstance(dynamics, kinds.Opaque) else float64_probe(step, params, *visited, seed=seed)


def _readout(params: Parameters) -> cc.Readout:
    weight, bias = (np.asarray(a, np.float64) for a in (params.readout_weight, params.readout_bias))
    return cc.Readout([Layer(weight, bias, "identity")])
