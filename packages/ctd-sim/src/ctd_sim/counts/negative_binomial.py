"""Overdispersed counts: Poisson counts whose rate is itself gamma distributed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctd_sim.counts.base import CountModel, Generators


@dataclass(frozen=True)
class NegativeBinomial(CountModel):
    """Counts with variance fano · mean: negative binomial with r = mean / (fano - 1) and p = 1 / fano.

    Its mean is r (1 - p) / p and its variance r (1 - p) / p².

    Attributes:
        fano: Above 1.
    """

    fano: float

    def draw(self, mean: NDArray[np.float64], generators: Generators) -> NDArray[np.int64]:
        """Negative binomial counts."""
        # NumPy wants r > 0; at the smallest number of all the count is zero for certain, as it must be.
        size = np.maximum(mean / (self.fano - 1), np.finfo(np.float64).tiny)
        return generators["negative binomial"].negative_binomial(size, 1 / self.fano)

    def variance(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fano factor times mean."""
        return self.fano * mean
