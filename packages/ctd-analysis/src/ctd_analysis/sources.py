"""A recording and the models of it, aligned by trial and neuron ids and read a few trials at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

import ctd_contract as cc
from ctd_analysis.changing_inputs import changing_inputs, target_changes
from ctd_analysis.metrics import Block, Ends, Session
from ctd_analysis.results import Flags, Floats, Integers
from ctd_contract.reader import Array, ContractFile

_FORECAST = re.compile(r"forecast_[1-9][0-9]*")
# Bins that are in memory at once: of 128 float64 states they take 16 MB.
_BLOCK_BINS = 16384


@dataclass(frozen=True)
class TrialArray:
    """One signal, addressed by the recording's trials.

    Attributes:
        array: The signal on disk.
        rows: Its row for every trial of the recording, -1 where it has none, (trial,).
        columns: Order of its last axis; None for its own. The axes behind time count as one.
        ends: Of channels of communication, which regions they connect.
        bins: Its bins that are the recording's; None for all.
        regions: Of states, the region of each.
    """

    array: Array
    rows: Integers
    columns: Integers | None = None
    ends: Ends | None = None
    bins: slice | None = None
    regions: Integers | None = None

    def read(self, trials: Integers) -> Floats:
        """The signal of some of the recording's trials, (trial, time, ...)."""
        rows = self.rows[trials]
        values = _read_rows(self.array, rows).astype(np.float64)
        values = values.reshape(*values.shape[:2], -1)
        values = values if self.bins is None else values[:, self.bins]
        return values if self.columns is None else values[..., self.columns]


@dataclass(frozen=True)
class ChangingInputs:
    """The inputs that change their channel's target, addressed like a signal.

    Attributes:
        inputs: Before noise.
        targets: What the task asks for, a channel for each input.
    """

    inputs: TrialArray
    targets: TrialArray
    ends: None = None
    regions: None = None

    def read(self, trials: Integers) -> Floats:
        """These inputs of some of the recording's trials, (trial, time, input)."""
        # The target before the recording's first bin is known where the task's file has more bins.
        changes = target_changes(replace(self.targets, bins=None).read(trials))
        return changing_inputs(self.inputs.read(trials), changes[:, self.targets.bins or slice(None)])


Signal = TrialArray | ChangingInputs


def _read_rows(array: Array, rows: Integers) -> np.ndarray:
    if len(rows) == 0:
        return np.zeros((0, *array.shape[1:]), dtype=array.dtype)
    first, last = int(rows.min()), int(rows.max())
    if last - first < 4 * len(rows):  # one read of a stretch beats many of single trials
        return array[first : last + 1][rows - first]
    return np.stack([array[int(row)] for row in rows])


class Recording:
    """The recording, with what is known of the truth.

    Args:
        file: The recording.
        task: Task file of the network that produced it: gives the states, inputs and dynamics that the
            recording itself doesn't carry.
        condition_bins: Bins from which conditions are decoded, counted from 1.

    Attributes:
        signals: `spikes`, `observed`, `behavior`, `activity`, `true_rates`, `true_activity`, `true_states`,
            `true_mode`, `true_communication`, `inputs`, `clean_inputs`, `driving_inputs`, `targets`, as
            far as known.
        changing_inputs: The clean inputs that change their targets; None where not each has a target.
        session: What all trials share.
        lengths: Bins that are not padding, (trial,).
        conditions: Of the trials, -1 without, (trial,).
    """

    def __init__(
        self,
        file: ContractFile,
        task: ContractFile | None = None,
        *,
        condition_bins: Sequence[int] = (),
    ) -> None:
        _expect_kind(file, "recording", "truth")
        self.file = file
        self.task = task
        own = np.arange(file.sizes["trial"])
        self.signals = _known(file, own)
        if task is not None:
            _expect_kind(task, "task", "task")
            _check_parent(file, task)
            _, rows = cc.align(file, task)
            self.signals = _known_of_task(task, rows, _bins(task, file)) | self.signals
        self.changing_inputs = _changing(self.signals)
        inputs = file.signals.get("inputs")
        neuron_regions = file.tables.get("neurons", {}).get("region")
        conditions = file.tables["trials"].get("condition", np.full(file.sizes["trial"], -1))
        self.conditions = np.asarray(conditions).astype(np.int64)
        self.session = Session(
            bin_width_s=file.bin_width_s,
            held_out=file.held_out,
            forward=file.forward,
            n_external_inputs=0 if inputs is None else inputs.shape[2],
            n_conditions=int(self.conditions.max(initial=-1)) + 1,
            condition_bins=tuple(condition_bins),
            regions=() if neuron_regions is None else tuple(file.names("region") or ()),
            neuron_regions=neuron_regions,
        )
        self.lengths = file.lengths.astype(np.int64)

    def split(self, name: str) -> Integers:
        """Positions of a split's trials."""
        return np.flatnonzero(self.file.split(name))

    def valid(self, trials: Integers) -> Flags:
        """Bins of some trials that are not padding, (trial, time)."""
        return np.arange(self.file.sizes["time"]) < self.lengths[trials, None]

    def truth_dynamics(self) -> cc.Dynamics | None:
        """The true dynamics: the recording's own, or the task network's."""
        dynamics = self.file.truth_dynamics()
        return self.task.dynamics() if dynamics is None and self.task is not None else dynamics


class Inference:
    """One model's inference of a recording.

    Args:
        file: The inference.
        recording: What it was inferred from.

    Raises:
        ValueError: It belongs to another recording.

    Attributes:
        signals: `rates`, `activity_prediction`, `states`, `inferred_inputs`, `inputs`, `mode_probability`,
            `communication` and `forecast_<bins>`, as far as the model gives them.
        has: Trials of the recording that the model has, (trial,).
    """

    def __init__(self, file: ContractFile, recording: Recording) -> None:
        _expect_kind(file, "inference", "inference")
        for source in (recording.file, recording.task):
            if source is not None:
                _check_parent(file, source)
        self.file = file
        mine, theirs = cc.align(recording.file, file, common=True)
        rows = np.full(recording.file.sizes["trial"], -1)
        rows[mine] = theirs
        self.has = rows >= 0
        if len(file.time) != len(recording.file.time) or not _same_times(file.time, recording.file):
            raise ValueError(f"{file.path.name} has other time bins than {recording.file.path.name}")
        candidates = ["rates", "activity_prediction", *filter(_FORECAST.fullmatch, file.signals)]
        by_neuron = [name for name in candidates if name in file.signals]
        # A model of the states alone, a task network's JSLDS say, needs no neurons.
        columns = _neuron_columns(file, recording.file) if by_neuron else None
        signals: dict[str, Integers | None] = dict.fromkeys(by_neuron, columns)
        signals |= dict.fromkeys(("states", "inferred_inputs", "inputs", "mode_probability"))
        self.signals = {
            name: TrialArray(file.signals[name], rows, order, regions=_regions(file, name))
            for name, order in signals.items()
            if name in file.signals
        } | _communication("communication", file, file.signals, rows)


def blocks(recording: Recording, signals: Mapping[str, Signal], trials: Integers) -> Iterator[Block]:
    """Blocks of some trials; memory is one block."""
    size = max(1, _BLOCK_BINS // recording.file.sizes["time"])
    for start in range(0, len(trials), size):
        chosen = trials[start : start + size]
        arrays = {name: signal.read(chosen) for name, signal in signals.items()}
        ends = {name: signal.ends for name, signal in signals.items() if signal.ends is not None}
        regions = {name: s.regions for name, s in signals.items() if s.regions is not None}
        valid, conditions = recording.valid(chosen), recording.conditions[chosen]
        yield Block(recording.session, valid, arrays, conditions, ends, regions)


def _known(file: ContractFile, rows: Integers) -> dict[str, TrialArray]:
    found = {
        "spikes": file.signals.get("spikes"),
        "observed": file.signals.get("observed"),
        "behavior": file.signals.get("behavior"),
        "inputs": file.signals.get("inputs"),
        "true_rates": file.truth.get("rates"),
        "true_states": file.truth.get("states"),
        "true_mode": file.truth.get("mode"),
        "activity": file.signals.get("activity"),
        "true_activity": file.truth.get("activity_prediction"),
        "clean_inputs": file.signals.get("inputs_clean") or file.truth.get("inputs_clean"),
        "driving_inputs": file.truth.get("inputs"),
        "targets": file.truth.get("targets"),
    }
    known = {
        name: TrialArray(array, rows, regions=_regions(file, name.removeprefix("true_")))
        for name, array in found.items()
        if array is not None
    }
    return known | _communication("true_communication", file, file.truth, rows)


def _regions(file: ContractFile, name: str) -> Integers | None:
    """Region of each state, for states alone."""
    column = file.tables.get("states", {}).get("region") if name == "states" else None
    return None if column is None else np.asarray(column, np.int64)


def _communication(
    name: str, file: ContractFile, signals: Mapping[str, Array], rows: Integers
) -> dict[str, TrialArray]:
    """What regions send each other, channel by channel: `communication`, or `messages` but for each's own."""
    regions = tuple(file.names("region") or map(str, range(file.sizes.get("region", 0))))
    if "communication" in signals and {"from", "to"} <= file.tables.get("messages", {}).keys():
        source, target = (np.asarray(file.tables["messages"][end], np.int64) for end in ("from", "to"))
        return {name: TrialArray(signals["communication"], rows, ends=Ends(source, target, regions))}
    if "messages" in signals and "region" in file.tables.get("states", {}):
        own = np.asarray(file.tables["states"]["region"], np.int64)
        source, target = (axis.ravel() for axis in np.indices((len(regions), len(own))))
        others = np.flatnonzero(source != own[target])
        ends = Ends(source[others], own[target][others], regions)
        return {name: TrialArray(signals["messages"], rows, others, ends)}
    return {}


def _known_of_task(task: ContractFile, rows: Integers, bins: slice) -> dict[str, TrialArray]:
    found = {
        "true_states": task.signals.get("states"),
        "clean_inputs": task.signals.get("inputs_clean"),
        "driving_inputs": task.signals.get("inputs"),
        "targets": task.signals.get("targets"),
    }
    return {name: TrialArray(array, rows, bins=bins) for name, array in found.items() if array is not None}


def _bins(task: ContractFile, recording: ContractFile) -> slice:
    """The task's bins that a recording, perhaps trimmed, has."""
    first = int(np.argmin(np.abs(task.time - recording.time[0])))
    bins = slice(first, first + len(recording.time))
    times = task.time[bins]
    if len(times) != len(recording.time) or not _same_times(times, recording):
        raise ValueError(
            f"{task.path.name} has other time bins than {recording.path.name}: pass the task that it was "
            "made from"
        )
    return bins


def _same_times(times: Floats, recording: ContractFile) -> bool:
    return np.allclose(times, recording.time, rtol=0.0, atol=0.01 * recording.bin_width_s)


def _changing(signals: Mapping[str, TrialArray]) -> ChangingInputs | None:
    if not {"clean_inputs", "targets"} <= signals.keys():
        return None
    inputs, targets = signals["clean_inputs"], signals["targets"]
    return ChangingInputs(inputs, targets) if inputs.array.shape[2] == targets.array.shape[2] else None


def _expect_kind(file: ContractFile, kind: str, argument: str) -> None:
    if file.kind != kind:
        raise ValueError(f"{argument}={file.path.name} is a file of kind {file.kind}, expected {kind}")


def _check_parent(file: ContractFile, source: ContractFile) -> None:
    parents = [parent for parent in file.provenance.parents if parent.kind == source.kind]
    if parents and all(parent.id != source.id for parent in parents):
        raise ValueError(
            f"{file.path.name} was made from another {source.kind} ({parents[0].id}) than "
            f"{source.path.name} ({source.id}): pass the {source.kind} that it was made from"
        )
    if any(parent.id == source.id and parent.digest != source.digest for parent in parents):
        raise ValueError(
            f"{source.path.name} has changed since {file.path.name} was made from it (their digests "
            f"differ): make {file.path.name} again, or pass the {source.kind} as it was"
        )


def _neuron_columns(file: ContractFile, recording: ContractFile) -> Integers | None:
    """Order in which the model's neurons are the recording's; None when it is the same."""
    mine, theirs = recording.axis("neuron"), file.axis("neuron")
    if np.array_equal(mine, theirs):
        return None
    position = {int(neuron): index for index, neuron in enumerate(theirs)}
    missing = [int(neuron) for neuron in mine if int(neuron) not in position]
    if missing:
        raise ValueError(
            f"{file.path.name} lacks {len(missing)} of the {len(mine)} neurons of {recording.path.name}, "
            f"neuron {missing[0]} first: rates of all neurons are needed"
        )
    return np.array([position[int(neuron)] for neuron in mine])
