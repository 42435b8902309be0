"""Mean and spread of every channel over the bins that count, in one pass over trials."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Moments:
    """Mean, standard deviation (dividing by the count) and largest value of each channel."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    largest: NDArray[np.float64]

    def pooled(self) -> tuple[float, float]:
        """Mean and standard deviation over all channels together."""
        mean = self.mean.mean()
        return float(mean), float(np.sqrt(np.mean(self.std**2 + (self.mean - mean) ** 2)))


def moments(chunks: Iterable[tuple[NDArray, NDArray[np.bool_]]]) -> Moments:
    """Moments over the counted bins of all chunks.

    Sums are formed per trial and added in the order of trials, so that the result is the same bits
    however the trials were cut into chunks.

    Args:
        chunks: Pairs of values (trial, time, channel) and which bins count (trial, time).
    """
    shift: NDArray[np.float64] | None = None
    total = squares = 0.0
    largest = -np.inf
    count = 0
    for values, counted in chunks:
        if not counted.any():
            continue
        if shift is None:
            # Taking off a typical value first keeps the variance from drowning in the mean's square.
            shift = values[counted][0].astype(np.float64)
        for trial, valid in zip(values, counted, strict=True):
            deviation = trial[valid] - shift
            total = total + deviation.sum(axis=0)
            squares = squares + (deviation * deviation).sum(axis=0)
            largest = np.maximum(largest, deviation.max(axis=0, initial=-np.inf))
            count += len(deviation)
    if shift is None:
        raise ValueError("there is no bin to take a mean of")
    mean = total / count
    variance = np.maximum(squares / count - mean * mean, 0.0)
    return Moments(shift + mean, np.sqrt(variance), shift + largest)
