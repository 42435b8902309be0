"""Mean and spread of what comes in blocks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class RunningMoments:
    """Mean and variance of what came so far, whatever the chunks (Chan, Golub & LeVeque 1979), in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self._scatter = torch.zeros(())
        self._within = torch.zeros(())

    def add(self, values: Tensor, variance: Tensor | None = None) -> None:
        """Take a chunk.

        Args:
            values: (sample, ...).
            variance: Of the same shape: the values are means of distributions with this variance, and it is
                these distributions' mixture whose moments are wanted. None for plain values.
        """
        values = values.to(torch.float64)
        count, mean = len(values), values.mean(0)
        total = self.count + count
        shift = mean - self.mean
        self._scatter = self._scatter + (values - mean).square().sum(0)
        self._scatter = self._scatter + shift.square() * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        if variance is not None:
            self._within = self._within + variance.to(torch.float64).sum(0)
        self.count = total

    @property
    def std(self) -> Tensor:
        """Standard deviation; of two or more samples."""
        return (self._scatter / (self.count - 1) + self._within / self.count).sqrt()


class ChannelMoments:
    """Mean and variance of each channel over the entries that count, block by block.

    Args:
        channels: Their number.
    """

    def __init__(self, channels: int) -> None:
        self.count, self._total, self._squares = np.zeros((3, channels))

    def add(self, values: Tensor, counted: Tensor) -> None:
        """Take (trial, time, channel) with bool ``counted``, broadcastable to it."""
        counted = counted.expand_as(values)
        values = torch.where(counted, values.to(torch.float64), 0.0)
        self.count += counted.sum((0, 1)).numpy()
        self._total += values.sum((0, 1)).numpy()
        self._squares += values.square().sum((0, 1)).numpy()

    @property
    def mean(self) -> np.ndarray:
        """(channel,), once every channel has been counted."""
        return self._total / self.count

    @property
    def variance(self) -> np.ndarray:
        """(channel,), likewise."""
        return self.scatter / self.count

    @property
    def scatter(self) -> np.ndarray:
        """Sum of squared deviations from the mean, (channel,); 0 where nothing was counted."""
        return np.maximum(self._squares - self._total**2 / np.maximum(self.count, 1), 0.0)
