"""Poisson counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ctd_sim.counts.base import CountModel, Generators


class Poisson(CountModel):
    """Counts whose variance is their mean."""

    def draw(self, mean: NDArray[np.float64], generators: Generators) -> NDArray[np.int64]:
        """Poisson counts."""
        return generators["poisson"].poisson(mean)

    def variance(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean."""
        return mean
