"""A recording as arrays: what an encoder may see, what is scored, what drives a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

import ctd_contract as cc


class Trials(NamedTuple):
    """Trials as arrays, each with a mask of its own; a pytree, so that any subset is one ``tree.map``.

    Attributes:
        values: (trial, time, neuron) counts or activity; zero where unobserved.
        valid: (trial, time) 1 in bins of the trial, 0 in padding.
        visible: (trial, time) 1 where the encoder may look: neither padding nor forward bins.
        scored: (trial, time, neuron) 1 where a value was observed and is no padding.
        inputs: (trial, time, input).
    """

    values: np.ndarray
    valid: np.ndarray
    visible: np.ndarray
    scored: np.ndarray
    inputs: np.ndarray


@dataclass(frozen=True)
class Recording:
    """Trials of a recording.

    Attributes:
        trials: All of them.
        splits: Rows of the trials of each split.
        held_in: (neuron,) which neurons the encoder may see.
        signal: ``spikes`` or ``activity``.
    """

    trials: Trials
    splits: dict[str, np.ndarray]
    held_in: tuple[bool, ...]
    signal: str

    def of_split(self, name: str) -> Trials:
        """The trials of a split."""
        rows = self.splits[name]
        return Trials(*(array[rows] for array in self.trials))


def load(
    path: str | Path, inputs: Sequence[str], *, signals: Sequence[str] = ("spikes", "activity")
) -> Recording:
    """Read a recording.

    Args:
        path: Of its file.
        inputs: Signals that drive the model.
        signals: Which the model can be of; the first that is there is taken.

    Raises:
        ContractError: The file is damaged.
        ValueError: It is no recording of these, lacks inputs that were asked for, has no neuron that the
            encoder may see, or values that are no numbers.
    """
    with cc.open(path) as file:
        signal = next((name for name in signals if name in file.signals), None)
        if file.kind != "recording" or signal is None:
            raise ValueError(
                f"{path} is no recording of {' or '.join(signals)} (kind {file.kind}, signals "
                f"{', '.join(file.signals)})"
            )
        if missing := [name for name in inputs if name not in file.signals]:
            raise ValueError(
                f"{path} has no signal {', '.join(missing)} (it has {', '.join(file.signals)}): "
                "choose with model.inputs=[...], [] for none"
            )
        valid = np.asarray(file.valid_bins(slice(None)))
        values = np.asarray(file.signals[signal][:], np.float32)
        scored = np.broadcast_to(valid[:, :, None], values.shape)
        if "observed" in file.signals:
            scored = scored & (np.asarray(file.signals["observed"][:]) > 0)
        known = [np.asarray(file.signals[name][:], np.float32) for name in inputs]
        given = np.concatenate(known, -1) if known else np.zeros((*valid.shape, 0), np.float32)
        visible = valid & ~np.asarray(file.forward)
        splits = {name: np.flatnonzero(file.split(name)) for name in cc.SPLITS}
        held_in = ~np.asarray(file.held_out, bool)
    if not held_in.any():
        raise ValueError(f"{path} has no neuron that the encoder may see: all are held out")
    values = np.where(scored, values, np.float32(0))
    for name, array in ((signal, values), (" and ".join(inputs), given)):
        _require_finite(path, name, array)
    valid, visible, scored = (np.asarray(mask, np.float32) for mask in (valid, visible, scored))
    trials = Trials(values, valid, visible, scored, given)
    return Recording(trials, splits, tuple(held_in.tolist()), signal)


def _require_finite(path: str | Path, name: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        first = tuple(int(index) for index in np.argwhere(~np.isfinite(values))[0])
        raise ValueError(
            f"{path}: {name} must be finite, got {values[first]} at trial, bin and channel {first}: mend the "
            "file (values that are missing are 0, and 0 in the signal observed)"
        )


def require_splits(path: str | Path, found: Recording) -> None:
    """Refuse to fit a recording without trials to train on, or without any to choose the best epoch on.

    Raises:
        ValueError: A split is empty.
    """
    for name in ("train", "valid"):
        if not len(found.splits[name]):
            there = ", ".join(f"{len(rows)} {split}" for split, rows in found.splits.items())
            raise ValueError(f"{path}: a fit needs {name} trials, got {there}: set the column trials/split")


def moments(trials: Trials) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each neuron over the scored bins, (neuron,)."""
    count = np.maximum(trials.scored.sum((0, 1)), 1.0)
    mean = trials.values.sum((0, 1)) / count
    square = (trials.scored * (trials.values - mean) ** 2).sum((0, 1)) / count
    return mean, np.sqrt(square)
