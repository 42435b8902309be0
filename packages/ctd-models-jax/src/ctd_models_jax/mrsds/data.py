"""A recording of several regions as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import ctd_contract as cc
from ctd_models_jax import recording
from ctd_models_jax.recording import Recording


@dataclass(frozen=True)
class Regions(Recording):
    """Trials of a recording, and where its neurons lie.

    Attributes:
        neuron_regions: (neuron,) the region of each.
        n_regions: How many.
    """

    neuron_regions: tuple[int, ...]
    n_regions: int

    @property
    def partial(self) -> bool:
        """Whether some bins have neurons that were observed and others that weren't."""
        return bool((self.trials.scored.min(-1) != self.trials.scored.max(-1)).any())


def load(path: str | Path, inputs: Sequence[str]) -> Regions:
    """Read a recording of spikes or activity; where it names no regions, it has one.

    Raises:
        ContractError: The file is damaged.
        ValueError: As of `recording.load`, or a region has no neurons that the encoder may see.
    """
    found = recording.load(path, inputs)
    with cc.open(path) as file:
        column = file.tables.get("neurons", {}).get("region")
    regions = np.zeros(len(found.held_in), np.int64) if column is None else np.asarray(column, np.int64)
    n_regions = int(regions.max()) + 1
    for region in range(n_regions):
        if not np.asarray(found.held_in)[regions == region].any():
            raise ValueError(f"{path}: region {region} has no neuron that the encoder may see")
    return Regions(**vars(found), neuron_regions=tuple(regions.tolist()), n_regions=n_regions)
