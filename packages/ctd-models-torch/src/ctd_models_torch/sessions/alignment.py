"""One space for the neurons of several recordings: principal components of their condition averages.

Recordings of the same task share no neurons and no trials, but conditions. Smoothed averages by condition of
all recordings' neurons side by side have principal components; regressed on one recording's averages alone,
these give a map from its neurons to a space that is the same for all (principal-component regression, as used
to start LFADS on several recordings: Pandarinath et al. 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctd_models_torch.batch import Batch
from ctd_models_torch.errors import InputError
from ctd_models_torch.recording import Recording

# Trials that are read at once.
BLOCK = 128
# A Gaussian is cut off here, in standard deviations.
WIDTH = 3.0


@dataclass(frozen=True)
class ConditionAverages:
    """Averages of a recording's training trials.

    Attributes:
        name: What the recording is called.
        conditions: Label of each condition.
        values: (condition, bin, neuron) in the data's unit, NaN where nothing was recorded.
        scale: (neuron,) standard deviation of a bin in the training trials.
        seen: (neuron,) whether encoders see it.
    """

    name: str
    conditions: list[str]
    values: np.ndarray
    scale: np.ndarray
    seen: np.ndarray


@dataclass(frozen=True)
class Aligned:
    """One recording in the common space.

    Attributes:
        weight: (channel, seen neuron), what encoders see, in the data's unit, to channels.
        bias: (channel,) of that.
        readout: (neuron, channel) the way back, of all neurons.
        mean: (neuron,) where that starts, the mean of the averages.
        r2: Share of the components' variance over conditions and bins that this recording's channels explain.
    """

    weight: np.ndarray
    bias: np.ndarray
    readout: np.ndarray
    mean: np.ndarray
    r2: float


def condition_averages(
    recording: Recording, bins: np.ndarray, *, column: str, smoothing_s: float
) -> ConditionAverages:
    """Average a recording's training trials by condition, and smooth the averages over time.

    What is padding or wasn't observed counts neither in sum nor number.

    Args:
        recording: The recording.
        bins: (bin,) positions of the bins that encoders see.
        column: Of ``trials``: the conditions; below zero or empty for none.
        smoothing_s: Standard deviation of the Gaussian, s; 0 for none.

    Raises:
        InputError: There is no such column, or no training trial has a condition.
    """
    labels = _labels(recording, column)
    rows = recording.rows("train")
    rows = rows[labels[rows] != ""]
    if not len(rows):
        raise InputError(f"{recording.file.path}:/trials/{column}: no training trial has a condition")
    conditions = sorted(set(labels[rows].tolist()))
    which = np.searchsorted(conditions, labels[rows])
    shape = (len(conditions), len(bins), recording.file.sizes["neuron"])
    total, count = np.zeros(shape), np.zeros(shape)
    for start in range(0, len(rows), BLOCK):
        batch = Batch.of(recording.read(rows[start : start + BLOCK]))
        block = which[start : start + BLOCK]
        np.add.at(total, block, batch.data[:, bins].double().numpy())
        np.add.at(count, block, batch.scored.expand_as(batch.data)[:, bins].double().numpy())
    kernel = _kernel(recording.file.time[bins], smoothing_s)
    total, count = kernel @ total, kernel @ count
    values = np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)
    scale = np.sqrt(recording.statistics(recording.rows("train")).variance)
    return ConditionAverages(
        recording.name, conditions, values, np.where(scale > 0, scale, 1.0), ~recording.file.held_out
    )


def align(averages: Sequence[ConditionAverages], size: int, ridge: float) -> list[Aligned]:
    """Bring recordings into one space.

    Neurons are scaled by the standard deviation of their bins, so that none counts for its rate alone.
    Components are scaled together, the first to variance 1 over conditions and bins.

    Args:
        averages: Of each recording, over the same bins.
        size: Components.
        ridge: Penalty of the regressions, for neurons of variance 1.

    Raises:
        InputError: The recordings have no condition in common, or too little for so many components.
    """
    tables = _tables(averages)
    scaled = [
        (table - table.mean(0))[:, own.seen] / own.scale[own.seen]
        for table, own in zip(tables, averages, strict=True)
    ]
    everything = np.concatenate(scaled, axis=1)
    most = min(len(everything) - 1, everything.shape[1])
    if size > most:
        raise InputError(
            f"{len(everything)} averages (conditions times bins) of {everything.shape[1]} neurons have "
            f"{most} principal components at most, and read_in.size is {size}: take at most {most}"
        )
    components = _principal_components(everything, size)
    return [
        _aligned(table, own, values, components, ridge)
        for table, own, values in zip(tables, averages, scaled, strict=True)
    ]


def _aligned(
    table: np.ndarray,
    own: ConditionAverages,
    scaled: np.ndarray,
    components: np.ndarray,
    ridge: float,
) -> Aligned:
    coefficients = _ridge(scaled, components, ridge)
    residual = np.square(components - scaled @ coefficients).sum()
    mean = table.mean(0)
    weight = (coefficients / own.scale[own.seen][:, None]).T
    back = _ridge(components, (table - mean) / own.scale, ridge).T * own.scale[:, None]
    r2 = 1.0 - residual / np.square(components).sum()
    return Aligned(weight, -weight @ mean[own.seen], back, mean, float(r2))


def _tables(averages: Sequence[ConditionAverages]) -> list[np.ndarray]:
    """(condition and bin, neuron) of each recording: what all of them have."""
    first = averages[0]
    common = [label for label in first.conditions if all(label in other.conditions for other in averages)]
    if not common:
        listed = "; ".join(f"{own.name}: {', '.join(own.conditions[:8])}" for own in averages)
        raise InputError(f"no condition is in the training trials of all recordings ({listed})")
    tables = []
    for own in averages:
        rows = [own.conditions.index(label) for label in common]
        tables.append(own.values[rows].reshape(-1, own.values.shape[2]))
    whole = np.logical_and.reduce([np.isfinite(table).all(1) for table in tables])
    if not whole.any():
        raise InputError("in no bin of any condition that all recordings have were all neurons recorded")
    return [table[whole] for table in tables]


def _principal_components(values: np.ndarray, size: int) -> np.ndarray:
    """(row, component) scores of centred ``values``; of either sign the one with the larger loading."""
    scores, lengths, loadings = np.linalg.svd(values, full_matrices=False)
    largest = np.take_along_axis(loadings, np.abs(loadings).argmax(1)[:, None], axis=1)[:, 0]
    scores = scores * lengths * np.where(largest < 0, -1.0, 1.0)
    if lengths[0] <= 0:
        raise InputError("the condition averages don't differ at all, so they have no principal components")
    return scores[:, :size] * (np.sqrt(len(values)) / lengths[0])


def _ridge(given: np.ndarray, wanted: np.ndarray, penalty: float) -> np.ndarray:
    """Coefficients b of the least |wanted - given b|² + penalty |b|²; the shortest where there are many."""
    columns = given.shape[1]
    padded = np.concatenate([given, np.sqrt(penalty) * np.eye(columns)])
    target = np.concatenate([wanted, np.zeros((columns, wanted.shape[1]))])
    return np.linalg.lstsq(padded, target, rcond=None)[0]


def _labels(recording: Recording, column: str) -> np.ndarray:
    """Label of each trial's condition, its name where there are names; empty for none."""
    table = recording.file.tables.get("trials", {})
    if column not in table:
        raise InputError(
            f"{recording.file.path}:/trials has no column {column}: read_in.conditions may name one of "
            f"{', '.join(table)}"
        )
    values = np.asarray(table[column])
    names = recording.file.names("condition") if column == "condition" else None
    if names is not None:
        return np.array([str(names[value]) if value >= 0 else "" for value in values.tolist()])
    if values.dtype.kind in "iuf":  # NaN is none
        return np.array([f"{value:.12g}" if value >= 0 else "" for value in values.tolist()])
    return values.astype(str)


def _kernel(times: np.ndarray, std: float) -> np.ndarray:
    """(bin, bin) weights of a Gaussian over time."""
    if std == 0:
        return np.eye(len(times))
    distance = np.subtract.outer(times, times) / std
    return np.where(np.abs(distance) <= WIDTH, np.exp(-0.5 * np.square(distance)), 0.0)
