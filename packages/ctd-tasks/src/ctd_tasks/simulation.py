"""Running a trained network through the simulation set, and the task file that holds it all."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

import ctd_contract as cc
from ctd_contract.torch.random import generator
from ctd_tasks.config import SimulationConfig
from ctd_tasks.networks.base import Network, array
from ctd_tasks.tasks.base import BLOCK_TRIALS, Rollout, Score, Task, stream_generator
from ctd_tasks.tasks.trials import Trials


def in_simulation(network: Network, config: SimulationConfig) -> Network:
    """The same network under the process noise of the simulation set."""
    if config.noise_std is None:
        return network
    network = copy.copy(network)
    network.config = dataclasses.replace(network.config, noise_std=config.noise_std)
    return network


def simulate(network: Network, task: Task, n_trials: int, *, seed: int) -> Iterator[tuple[Trials, Rollout]]:
    """Run a network through the simulation set of a seed, block by block, on the CPU.

    Trials, process noise and noise of the initial state depend on the seed and the block alone, so memory is
    one block, and any number of trials begins with the same ones.

    Yields:
        The block's trials and the rollout, as arrays.
    """
    task, network = task.for_simulation(), network.cpu()
    for index in range(-(-n_trials // BLOCK_TRIALS)):
        trials = task.block(index, seed=seed, stream="simulation")
        with torch.no_grad():
            noise = generator(seed, "simulation noise", index)
            rollout = task.run(network, trials.map(torch.from_numpy), noise).map(array)
        rows = slice(0, n_trials - index * BLOCK_TRIALS)
        yield trials[rows], rollout.map(lambda values, rows=rows: values[rows])


def write_task(
    path: str | Path,
    network: Network,
    task: Task,
    *,
    config: SimulationConfig,
    seed: int,
    name: str | None = None,
    run: str | None = None,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Score:
    """Write a task file: the simulation set, what the network did in it, and its dynamics.

    Args:
        path: the file.
        network: the trained network.
        task: the task.
        config: how many trials, and their splits.
        seed: the run's seed.
        name: the file's name; the task's unless given.
        run: id of the run.
        provenance: the resolved configuration; the task's alone unless given.
        overwrite: replace an existing file.

    Returns:
        How often the network was right.
    """
    config.check()
    network = in_simulation(network, config)
    with cc.create(
        path,
        "task",
        name=name or task.name,
        producer=f"ctd-tasks {version('ctd-tasks')}",
        trial=config.n_trials,
        time=task.bin_width_s * np.arange(task.n_time),
        bin_width_s=task.bin_width_s,
        config=provenance or {"task": {"name": task.name, **dataclasses.asdict(cast("Any", task))}},
        seed=seed,
        run=run,
        overwrite=overwrite,
    ) as writer:
        writer.column("trials", "split", splits(config, seed=seed))
        labels, score, probe = _append_blocks(
            writer, simulate(network, task, config.n_trials, seed=seed), task
        )
        _write_labels(writer, labels, task.for_simulation().condition_names)
        writer.column("trials", "success", score.per_trial.astype(np.float32), unit="1")
        writer.column("trials", "decisions", score.counted.astype(np.int32), unit="1")
        channels = {"input": task.input_names, "target": task.target_names, "output": task.output_names}
        for axis, names in channels.items():
            writer.names(axis, names)
        writer.dynamics(network.dynamics(), network.probe(probe))
        writer.readout(network.readout())
    return score


def splits(config: SimulationConfig, *, seed: int) -> np.ndarray:
    """Draw the split (trial,) of each simulation trial: exact shares, in random order."""
    bounds = np.round(np.cumsum([config.train, config.valid]) * config.n_trials).astype(int)
    values = np.full(config.n_trials, cc.SPLITS["test"], np.uint8)
    values[: bounds[1]] = cc.SPLITS["valid"]
    values[: bounds[0]] = cc.SPLITS["train"]
    return stream_generator(seed, "split").permutation(values)


def _append_blocks(
    writer: cc.Writer, blocks: Iterator[tuple[Trials, Rollout]], task: Task
) -> tuple[dict[str, np.ndarray], Score, Rollout]:
    """Stream signals; return what is written whole: labels of all trials, their score, the first rollout."""
    labels: list[dict[str, np.ndarray]] = []
    scores: list[Score] = []
    first: Rollout | None = None
    for trials, rollout in blocks:
        first = first or rollout
        signals = {
            "inputs": rollout.inputs,
            "inputs_clean": trials.inputs_clean,
            "perturbations": trials.perturbations,
            "targets": trials.targets,
            "outputs": rollout.outputs,
            "states": rollout.states,
            "initial_state": rollout.initial_state,
            "behavior": rollout.behavior,
        }
        writer.append({name: values for name, values in signals.items() if values is not None})
        scores.append(task.success(rollout, trials))
        labels.append({name: values for name, values in trials.flat().items() if values.ndim < 3})
    if first is None:
        raise ValueError("a task file holds at least one trial")
    joined = {name: np.concatenate([block[name] for block in labels]) for name in labels[0]}
    whole = Score(*(np.concatenate([getattr(s, part) for s in scores]) for part in ("right", "counted")))
    return joined, whole, first


def _write_labels(
    writer: cc.Writer, labels: Mapping[str, np.ndarray], condition_names: tuple[str, ...]
) -> None:
    for name, values in labels.items():
        table, _, leaf = name.partition("/")
        if table == "phases":
            writer.phase(leaf, values)
        else:
            writer.column("trials", leaf or table, values)
    if condition_names:
        writer.axis("condition", len(condition_names))
        writer.names("condition", condition_names)
