"""Mean and spread of samples that come in chunks."""

from __future__ import annotations

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
