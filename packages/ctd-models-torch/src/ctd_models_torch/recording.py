"""A recording as models see it: checked, held in memory when it fits, streamed when it doesn't."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Self

import numpy as np
import torch
from torch import Tensor

import ctd_contract as cc
from ctd_contract.reader import Array
from ctd_contract.torch.random import generator
from ctd_models_torch.batch import Batch, View, measured_entries
from ctd_models_torch.config import RecordingConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.moments import ChannelMoments

INFERRED = ("inferred_inputs", "states", "factors", "rates")


@dataclass(frozen=True)
class Statistics:
    """What each neuron did in what is scored of the training trials, float64 (neuron,).

    Attributes:
        mean: Mean.
        variance: Variance.
        least: Least value.
        behavior: Mean and standard deviation of each channel of the predicted behaviour, two of
            (behavior,); None where none is predicted.
    """

    mean: np.ndarray
    variance: np.ndarray
    least: np.ndarray
    behavior: tuple[np.ndarray, np.ndarray] | None = None

    @classmethod
    def neutral(cls, neurons: int, behavior: int = 0) -> Self:
        """Of a model whose saved weights will replace what is made of them."""
        ones = np.ones(neurons)
        return cls(ones, ones, ones, (np.zeros(behavior), np.ones(behavior)) if behavior else None)


class Recording:
    """An open recording and the parts of it that models use.

    Args:
        file: The open contract file; it must stay open while this is used.
        config: Which inputs, and how much memory.
        behavior: Whether behaviour is predicted as well.
        name: What it is called; by default as in the file.

    Attributes:
        name: What it is called.
        signal: ``"spikes"`` or ``"activity"``.
        input_signal: Name of the signal that drives the decoder, or None.
        input_size: Its channels.
        behavior_signal: Name of the signal that is predicted as well, or None.
        behavior_size: Its channels.
        behavior_unit: Its unit, or None.
        in_memory: Whether the arrays fit the budget; else every batch is read from the file.
    """

    def __init__(
        self,
        file: cc.ContractFile,
        config: RecordingConfig,
        *,
        behavior: bool = False,
        name: str | None = None,
    ) -> None:
        self.file = file
        self.name = file.name if name is None else name
        self.signal = _observed_signal(file)
        self.input_signal = config.inputs
        self.input_size = 0 if config.inputs is None else _input_width(file, config.inputs)
        self.behavior_signal = config.behavior if behavior else None
        self.behavior_size, self.behavior_unit = (
            _behavior_of(file, config.behavior) if behavior else (0, None)
        )
        self.in_memory = self.n_bytes <= config.memory_mb * 2**20
        self._held: dict[str, Tensor] = {}

    @property
    def names(self) -> list[str]:
        """Signals that are read."""
        observed = ["observed"] if "observed" in self.file.signals else []
        further = (self.input_signal, self.behavior_signal)
        return [self.signal, *observed, *(name for name in further if name is not None)]

    @property
    def n_bytes(self) -> int:
        """Size of the arrays that are read, in memory."""
        arrays = (self.file.signals[name] for name in self.names)
        return sum(int(np.prod(array.shape)) * array.dtype.itemsize for array in arrays)

    def view(self, window: int | None = None) -> View:
        """What encoders may see; of its bins, only the first `window` if given."""
        bins = np.flatnonzero(~self.file.forward)[:window]
        neurons = np.flatnonzero(~self.file.held_out)
        if not len(bins) or not len(neurons):
            raise InputError(
                f"{self.file.path}: an encoder would see nothing of it; all "
                f"{'bins are forward ones' if not len(bins) else 'neurons are held out'}"
            )
        return View(torch.from_numpy(bins), torch.from_numpy(neurons))

    def rows(self, split: str | None) -> np.ndarray:
        """Positions of a split's trials; of all trials for None."""
        count = self.file.sizes["trial"]
        rows = np.arange(count) if split is None else np.flatnonzero(self.file.split(split))
        if not len(rows):
            raise InputError(f"{self.file.path}: no trial is in the split {split!r}, which fitting needs")
        return rows

    def batches(
        self, rows: np.ndarray, batch_size: int, *, shuffle: bool = False, seed: int = 0
    ) -> RecordingBatches:
        """Batches of some trials, for the training runner."""
        return RecordingBatches(self, rows, batch_size, shuffle=shuffle, seed=seed)

    def statistics(self, rows: np.ndarray) -> Statistics:
        """Mean, variance and least value of each neuron over the scored entries of some trials.

        Raises:
            InputError: A neuron or a channel of behaviour is never measured, or such a channel is constant.
        """
        neurons, behavior = ChannelMoments(self.file.sizes["neuron"]), ChannelMoments(self.behavior_size)
        least = np.full(self.file.sizes["neuron"], np.inf)
        chosen = np.zeros(self.file.sizes["trial"], bool)
        chosen[rows] = True
        for block in np.array_split(rows, max(1, len(rows) // 256)):
            batch = Batch.of(self.read(block))
            neurons.add(batch.data, batch.scored)
            if batch.behavior is not None:
                behavior.add(batch.behavior, measured_entries(batch.behavior, batch.lengths))
            values = torch.where(batch.scored, batch.data.to(torch.float64), torch.inf)
            least = np.minimum(least, values.amin((0, 1)).numpy())
        if not neurons.count.all():
            silent = self.file.axis("neuron")[neurons.count == 0]
            raise InputError(
                f"{self.file.path}: neurons {silent.tolist()[:8]} are observed in no training trial"
            )
        scale = self._behavior_scale(behavior) if self.behavior_size else None
        return Statistics(neurons.mean, neurons.variance, least, scale)

    def _behavior_scale(self, moments: ChannelMoments) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each channel."""
        where = f"{self.file.path}:/signals/{self.behavior_signal}"
        if not moments.count.all():
            missing = np.flatnonzero(moments.count == 0).tolist()
            raise InputError(f"{where}: channels {missing} are measured in no training trial: drop them")
        # Less than this is what rounding leaves of a constant.
        constant = np.flatnonzero(moments.variance <= 1e-13 * moments.mean**2)
        if len(constant):
            raise InputError(
                f"{where}: channels {constant.tolist()} are constant in the training trials, so there is "
                "nothing to predict: drop them"
            )
        return moments.mean, np.sqrt(moments.variance)

    def read(self, rows: np.ndarray, device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """The tensors of some trials, as `Batch.of` takes them."""
        if not self.in_memory:
            return {name: tensor.to(device) for name, tensor in self._from_file(rows).items()}
        if not self._held or self._held["rows"].device != torch.device(device):
            everything = np.arange(self.file.sizes["trial"])
            held = self._held or self._from_file(everything)
            self._held = {name: tensor.to(device) for name, tensor in held.items()}
        index = torch.from_numpy(rows).to(device)
        return {name: tensor.index_select(0, index) for name, tensor in self._held.items()}

    def _from_file(self, rows: np.ndarray) -> dict[str, Tensor]:
        signals = self.file.signals
        tensors = {"data": _tensor(_take(signals[self.signal], rows))}
        if "observed" in signals:
            tensors["observed"] = _tensor(_take(signals["observed"], rows))
        if self.input_signal is not None:
            tensors["inputs"] = _tensor(_take(signals[self.input_signal], rows))
        if self.behavior_signal is not None:
            tensors["behavior"] = _tensor(_take(signals[self.behavior_signal], rows))
        lengths = self.file.lengths[rows]
        if (lengths < len(self.file.time)).any():
            tensors["lengths"] = torch.from_numpy(lengths.astype(np.int64))
        tensors["rows"] = torch.from_numpy(rows.astype(np.int64))
        return tensors


class RecordingBatches:
    """Batches of some trials, in an order drawn from (seed, epoch); what the training runner asks of data."""

    def __init__(
        self, recording: Recording, rows: np.ndarray, batch_size: int, *, shuffle: bool, seed: int
    ) -> None:
        self.recording = recording
        self.trials = rows
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed

    def __len__(self) -> int:
        return -(-len(self.trials) // self.batch_size)

    def epoch(self, epoch: int, device: torch.device) -> Iterator[dict[str, Tensor]]:
        """Iterate over the batches of one epoch."""
        order = self.trials
        if self.shuffle:
            stream = generator(self.seed, "order of trials", epoch)
            order = order[torch.randperm(len(order), generator=stream).numpy()]
        for start in range(0, len(order), self.batch_size):
            yield self.recording.read(order[start : start + self.batch_size], device)


def _observed_signal(file: cc.ContractFile) -> str:
    if file.kind != "recording":
        step = {"task": "; simulate spikes from it first (ctd-sim)"}.get(file.kind, "")
        raise InputError(f"{file.path} is of kind {file.kind}, and models are fitted to a recording{step}")
    return "spikes" if "spikes" in file.signals else "activity"


def _input_width(file: cc.ContractFile, name: str) -> int:
    driving = [s for s, array in file.signals.items() if array.axes[-1] == "input" and array.shape[-1]]
    if name in driving:
        return file.signals[name].shape[-1]
    if name in INFERRED:
        reason = f"{name} is what a model infers, not what drives it"
    elif name in file.signals and file.signals[name].axes[-1] == "input":
        reason = f"{name} of {file.path} has no channels"
    elif name in file.signals:
        reason = f"{name} has the axes {file.signals[name].axes}, not (trial, time, input)"
    else:
        close = get_close_matches(name, driving, 1)
        reason = f"{file.path} has no signal {name}" + (f" (did you mean {close[0]}?)" if close else "")
    listed = f"one of {', '.join(driving)}" if driving else "nothing, since it has no known inputs"
    raise InputError(
        f"{reason}: recording.inputs may name {listed}; recording.inputs=null fits a model without known "
        "inputs, and model=lfads with a model.controller.size above 0 infers some"
    )


def _behavior_of(file: cc.ContractFile, name: str) -> tuple[int, str | None]:
    """Channels and unit of the behaviour that is predicted."""
    suitable = [s for s, array in file.signals.items() if array.axes == ("trial", "time", "behavior")]
    if name not in suitable:
        listed = f"one of {', '.join(suitable)}" if suitable else "nothing, since it has no behaviour"
        raise InputError(
            f"{file.path} has no signal {name} (trial, time, behavior): "
            f"recording.behavior may name {listed}; model=lfads predicts none"
        )
    return file.signals[name].shape[-1], file.signals[name].unit


def _take(array: Array, rows: np.ndarray) -> np.ndarray:
    """Trials in any order; HDF5 wants rising ones, and reads a run of neighbours far faster."""
    order = np.argsort(rows, kind="stable")
    rising = rows[order]
    if rising[-1] - rising[0] + 1 == len(rising):
        taken = array[int(rising[0]) : int(rising[-1]) + 1]
    else:
        taken = array[rising]
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return taken[back]


def _tensor(values: np.ndarray) -> Tensor:
    """A tensor of the smallest type that torch calculates with."""
    return torch.from_numpy(values.astype(np.int32) if values.dtype == np.uint16 else values)
