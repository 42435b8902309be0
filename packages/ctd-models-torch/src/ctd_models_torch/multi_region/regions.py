"""The regions of a recording: which neurons lie in which, and which of them encoders see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ctd_models_torch.errors import InputError
from ctd_models_torch.shape import Shape


@dataclass(frozen=True)
class Region:
    """One region.

    Attributes:
        name: Its name.
        neurons: (neuron,) int64 positions on the recording's neuron axis.
        seen: (seen neuron,) int64 positions among the region's neurons of those that encoders see.
        columns: (seen neuron,) int64 positions of the same among all neurons that encoders see.
    """

    name: str
    neurons: Tensor
    seen: Tensor
    columns: Tensor


@dataclass(frozen=True)
class Regions:
    """All regions, in the order of their numbers.

    Attributes:
        every: The regions.
        ids: Number of each in the recording's table of regions.
    """

    every: tuple[Region, ...]
    ids: tuple[int, ...]

    @classmethod
    def of(cls, shape: Shape) -> Self:
        """Take them from what a model is made for.

        Raises:
            InputError: There are fewer than two, or encoders would see nothing of one.
        """
        if shape.regions is None or shape.region_names is None:
            raise InputError(
                "model=mr_lfads needs to know the region of each neuron, and the recording has no column "
                "neurons/region: add it, or fit model=lfads"
            )
        region, held_out = np.asarray(shape.regions), np.asarray(shape.held_out)
        ids = np.unique(region).tolist()
        if len(ids) < 2:
            raise InputError(
                "model=mr_lfads is for two or more regions, and all neurons lie in "
                f"{shape.region_names[ids[0]]}: fit model=lfads"
            )
        every = []
        for index in ids:
            neurons, name = np.flatnonzero(region == index), shape.region_names[index]
            seen = np.flatnonzero(~held_out[neurons])
            if not len(seen):
                raise InputError(f"all neurons of region {name} are held out: an encoder would see nothing")
            columns = np.flatnonzero(region[~held_out] == index)
            every.append(Region(name, *map(torch.from_numpy, (neurons, seen, columns))))
        return cls(tuple(every), tuple(ids))

    def __len__(self) -> int:
        return len(self.every)

    @property
    def names(self) -> list[str]:
        """Names of the regions."""
        return [region.name for region in self.every]

    def sources(self, target: int) -> list[int]:
        """Regions that send messages to a region, in the order of its messages: all others."""
        return [source for source in range(len(self)) if source != target]

    @property
    def connections(self) -> list[tuple[int, int]]:
        """Pairs (source, target) in the order of the messages: all that the first region gets come first."""
        return [(source, target) for target in range(len(self)) for source in self.sources(target)]
