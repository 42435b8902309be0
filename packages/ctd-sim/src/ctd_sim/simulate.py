"""From a source of states to a recording with its truth, streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ctd_contract as cc
from ctd_sim.emission import Emission, make_emission
from ctd_sim.observation import Observation, ObservationConfig, fit_observation
from ctd_sim.random_streams import blocks
from ctd_sim.sources import Source

# Bytes that one float64 array of a chunk may take; about six are alive at a time.
CHUNK_BYTES = 16 * 2**20
TRAIN = cc.SPLITS["train"]


def simulate(
    source: Source,
    path: str | Path,
    settings: ObservationConfig,
    *,
    seed: int,
    chunk_trials: int | None = None,
    on_progress: Callable[[int], object] | None = None,
    **file: Any,
) -> Observation:
    """Write the recording of a source.

    Memory is one chunk of trials. The file is the same, bit for bit, for every chunk size.

    Args:
        source: Trials to observe; where they name regions of states, each region has neurons of its own.
        path: Of the recording.
        settings: How neurons observe them.
        seed: Of the embedding, the target rates and what is drawn in each bin.
        chunk_trials: Trials at a time; by default as many as fit `CHUNK_BYTES`.
        on_progress: Called with the number of trials written.
        **file: Passed to `ctd_contract.create`: producer, config, run, overwrite...

    Returns:
        The fitted map.

    Example:
        >>> with cc.open("task.h5") as task:  # doctest: +SKIP
        ...     simulate(task_source(task), "recording.h5", ObservationConfig(), seed=0)
    """
    chunk = chunk_trials or _chunk_trials(source, settings)
    observation = fit_observation(
        _passes(source, chunk),
        settings,
        bin_width_s=source.bin_width_s,
        seed=seed,
        state_regions=source.state_regions,
    )
    emission = make_emission(observation, settings, bin_width_s=source.bin_width_s, seed=seed)
    axes = {"state": source.n_states, **source.axes, "neuron": len(observation.mean)}
    header = {
        "name": source.name,
        "trial": source.trial,
        "time": source.time,
        "bin_width_s": source.bin_width_s,
        "axes": axes,
        "seed": seed,
        "parents": list(source.parents),
    }
    with cc.create(path, "recording", **{**header, **file}) as writer:
        _describe(writer, source, observation, settings)
        _write_trials(writer, source, emission, chunk, on_progress)
        for name, column in emission.columns().items():
            writer.column("neurons", name, column)
    return observation


def _chunk_trials(source: Source, config: ObservationConfig) -> int:
    widest = max(source.n_states, config.held_in + config.held_out, getattr(config.embedding, "features", 0))
    return max(1, CHUNK_BYTES // (8 * len(source.time) * widest))


def _passes(source: Source, chunk: int) -> Callable[[], Iterator[tuple[NDArray, NDArray, NDArray]]]:
    def one() -> Iterator[tuple[NDArray, NDArray, NDArray]]:
        for _, rows in blocks(len(source.trial), chunk):
            valid = source.valid_bins(rows)
            yield source.read("states", rows), valid, valid & (source.split[rows] == TRAIN)[:, None]

    return one


def _describe(
    writer: cc.Writer, source: Source, observation: Observation, settings: ObservationConfig
) -> None:
    """Everything but the trials' own arrays."""
    writer.column("trials", "split", source.split)
    if (source.lengths < len(source.time)).any():
        writer.column("trials", "length", source.lengths, unit="bin")
    for table, columns in source.columns.items():
        for name, column in columns.items():
            unit = source.column_units.get(f"{table}/{name}", "")
            writer.column(table, name, column, unit=unit)
    for name, phase in source.phases.items():
        writer.phase(name, phase)
    region, place = np.divmod(np.arange(len(observation.mean)), settings.held_in + settings.held_out)
    writer.column("neurons", "held_out", (place >= settings.held_in).astype(np.uint8))
    if source.state_regions is not None:
        writer.column("neurons", "region", region.astype(np.int32))
    for name, column in observation.columns.items():
        writer.column("neurons", name, column)
    writer.truth_readout(observation.readout)
    if source.dynamics is not None:
        writer.truth_dynamics(source.dynamics, source.probe)


# Where each of a source's signals goes: inputs are both what models may see and what drove the system.
DESTINATIONS = {
    "states": ("truth/states",),
    "initial_state": ("truth/initial_state",),
    "inputs": ("inputs", "truth/inputs"),
    "inputs_clean": ("inputs_clean",),
    "perturbations": ("perturbations",),
    "targets": ("truth/targets",),
    "behavior": ("behavior",),
    "messages": ("truth/messages",),
    "input_messages": ("truth/input_messages",),
    "mode": ("truth/mode",),
}


def _write_trials(
    writer: cc.Writer,
    source: Source,
    emission: Emission,
    chunk: int,
    on_progress: Callable[[int], object] | None,
) -> None:
    """Stream all trials."""
    carried = {place: unit for name, unit in source.units.items() for place in DESTINATIONS[name]}
    units = {**carried, **emission.units}
    for block, rows in blocks(len(source.trial), chunk):
        signals = {name: source.read(name, rows) for name in source.signals}
        recorded = emission.record(signals["states"], source.valid_bins(rows), block)
        arrays = {place: signals[name] for name in signals for place in DESTINATIONS[name]}
        writer.append({**recorded, **arrays}, units=units)
        if on_progress is not None:
            on_progress(rows.stop - rows.start)
