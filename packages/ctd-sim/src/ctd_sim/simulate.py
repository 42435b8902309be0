"""From a source of states to a recording with its truth, streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ctd_contract as cc
from ctd_sim.counts import CountModel, Generators, count_model
from ctd_sim.observation import Observation, ObservationConfig, fit_observation
from ctd_sim.random_streams import blocks
from ctd_sim.sources import Source

# Bytes that one float64 array of a chunk may take; about six are alive at a time.
CHUNK_BYTES = 16 * 2**20
TRAIN = cc.SPLITS["train"]


@dataclass(frozen=True)
class Observed:
    """What neurons make of some trials.

    Attributes:
        rates: float32 (trial, time, neuron) in spikes/s; zero in padding.
        spikes: (trial, time, neuron) counts; zero in padding.
        variance: (neuron,) sum over bins of the counts' variance given the rates.
        mean: (neuron,) sum over bins of the expected counts.
    """

    rates: NDArray[np.float32]
    spikes: NDArray[np.unsignedinteger]
    variance: NDArray[np.float64]
    mean: NDArray[np.float64]


def observe(
    observation: Observation,
    counts: CountModel,
    states: NDArray,
    valid: NDArray[np.bool_],
    generators: Generators,
    *,
    bin_width_s: float,
    dtype: type[np.unsignedinteger] = np.uint16,
) -> Observed:
    """Rates and counts of some trials.

    Args:
        observation: The fitted map.
        counts: Draws counts of given means.
        states: (trial, time, state).
        valid: (trial, time) bins that are no padding.
        generators: Of the logical block that the trials belong to, as the trial before them left it.
        bin_width_s: Width of a bin.
        dtype: Of the counts.
    """
    # What the file will say: the counts then come from exactly the rates that it calls the truth.
    rates = (observation.rates(states) * valid[..., None]).astype(np.float32)
    mean = rates * np.float64(bin_width_s)
    spikes = counts.draw(mean, generators)
    if spikes.max(initial=0) > np.iinfo(dtype).max:
        raise ValueError(f"a bin has {spikes.max()} spikes, more than {np.iinfo(dtype).max}: lower the rates")
    variance = counts.variance(mean)
    return Observed(rates, spikes.astype(dtype), _per_neuron(variance), _per_neuron(mean))


def _per_neuron(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over time of every trial, (trial, neuron): adding trials one by one keeps sums free of the cut."""
    return values.sum(axis=1)


def count_dtype(largest_mean: float, fano: float) -> type[np.unsignedinteger]:
    """The smaller type that counts fit, whatever is drawn.

    Args:
        largest_mean: Largest expected count of any bin.
        fano: Variance over mean.

    Raises:
        ValueError: No type holds such counts.
    """
    # Far beyond any draw: the tail of a negative binomial count falls off like exp(-count / fano).
    bound = largest_mean + 12 * np.sqrt(max(fano, 1.0) * largest_mean) + 40 * max(fano, 1.0)
    if not bound <= np.iinfo(np.uint16).max:
        raise ValueError(
            f"a bin would have up to {largest_mean:.3g} expected spikes: "
            "standardise the activations, raise factor or give a target rate"
        )
    return np.uint8 if bound <= np.iinfo(np.uint8).max else np.uint16


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
        source: Trials to observe.
        path: Of the recording.
        settings: How neurons observe them.
        seed: Of the embedding, the target rates and the counts.
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
    observation = fit_observation(_passes(source, chunk), settings, bin_width_s=source.bin_width_s, seed=seed)
    n_neurons = settings.held_in + settings.held_out
    axes = {"state": source.n_states, **source.axes, "neuron": n_neurons}
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
        _describe(writer, source, observation, held_in=settings.held_in)
        fano = _write_trials(writer, source, observation, settings, seed, chunk, on_progress)
        writer.column("neurons", "fano_achieved", fano)
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


def _describe(writer: cc.Writer, source: Source, observation: Observation, *, held_in: int) -> None:
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
    held_out = np.arange(len(observation.mean)) >= held_in
    writer.column("neurons", "held_out", held_out.astype(np.uint8))
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
}


def _write_trials(
    writer: cc.Writer,
    source: Source,
    observation: Observation,
    config: ObservationConfig,
    seed: int,
    chunk: int,
    on_progress: Callable[[int], object] | None,
) -> NDArray[np.float64]:
    """Stream all trials; returns the Fano factor (neuron,) that the counts really have."""
    counts = count_model(config.fano)
    dtype = count_dtype(observation.largest_rate_hz * source.bin_width_s, config.fano)
    variance = mean = np.zeros(len(observation.mean))
    units = {place: unit for name, unit in source.units.items() for place in DESTINATIONS[name]}
    current, generators = -1, Generators(seed, 0)
    for block, rows in blocks(len(source.trial), chunk):
        if block != current:
            current, generators = block, Generators(seed, block)
        carried = {name: source.read(name, rows) for name in source.signals}
        part = observe(
            observation,
            counts,
            carried["states"],
            source.valid_bins(rows),
            generators,
            bin_width_s=source.bin_width_s,
            dtype=dtype,
        )
        arrays = {place: carried[name] for name in source.signals for place in DESTINATIONS[name]}
        writer.append({"spikes": part.spikes, "truth/rates": part.rates, **arrays}, units=units)
        for trial_variance, trial_mean in zip(part.variance, part.mean, strict=True):
            variance, mean = variance + trial_variance, mean + trial_mean
        if on_progress is not None:
            on_progress(rows.stop - rows.start)
    return np.divide(variance, mean, out=np.full_like(mean, np.nan), where=mean > 0)
