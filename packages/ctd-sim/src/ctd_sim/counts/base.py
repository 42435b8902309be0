"""What a count model is."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from ctd_sim.random_streams import stream


class CountModel(ABC):
    """Independent counts with a given mean in each bin."""

    @abstractmethod
    def draw(self, mean: NDArray[np.float64], generators: Generators) -> NDArray[np.int64]:
        """Counts of the given means, any shape; zero where the mean is zero."""

    @abstractmethod
    def variance(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Variance of the counts that `draw` gives, exactly."""


class Generators:
    """The random streams of one logical block of trials, one for each distribution that is drawn from.

    Each distribution has a stream of its own, so that a block drawn in two halves gives the same counts as
    the block drawn at once.
    """

    def __init__(self, seed: int, block: int) -> None:
        self._seed, self._block = seed, block
        self._streams: dict[str, np.random.Generator] = {}

    def __getitem__(self, name: str) -> np.random.Generator:
        if name not in self._streams:
            self._streams[name] = stream(self._seed, f"counts/{name}", self._block)
        return self._streams[name]
