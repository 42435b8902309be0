"""The recordings of one fit, whose regions are matched by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import ctd_contract as cc
from ctd_models_jax import sessions
from ctd_models_jax.mrsds.data import Regions, load


@dataclass(frozen=True)
class Identity(sessions.Identity):
    """What a session's model is for.

    Attributes:
        neuron_regions: The region of each neuron, by its place in `regions`.
        regions: Names, in the model's order.
    """

    neuron_regions: tuple[int, ...]
    regions: tuple[str, ...]

    @property
    def shared(self) -> dict[str, object]:
        """What has to be the same in all sessions of a model."""
        return super().shared | {"regions": sorted(self.regions)}

    @property
    def own(self) -> dict[str, object]:
        """What a recording must have to be of this session; its neurons lie where the model's do."""
        lies = [self.regions[region] for region in self.neuron_regions]
        return super().own | {"regions of the neurons": lies}


@dataclass(frozen=True)
class Session(sessions.Session):
    """A recording of a fit, its regions in the model's order.

    Attributes:
        file_regions: The place that the file gives each region.
    """

    identity: Identity
    recording: Regions
    file_regions: tuple[int, ...]

    def ordered(self, regions: Sequence[str]) -> Session:
        """The same with its regions in this order; they are the same regions."""
        before = self.identity.regions
        place = np.array([list(regions).index(name) for name in before])
        own = tuple(place[list(self.identity.neuron_regions)].tolist())
        return replace(
            self,
            identity=replace(self.identity, neuron_regions=own, regions=tuple(regions)),
            recording=replace(self.recording, neuron_regions=own),
            file_regions=tuple(self.file_regions[before.index(name)] for name in regions),
        )


def read(path: str | Path, inputs: Sequence[str]) -> Session:
    """Read a recording; errors as of `data.load`."""
    recording = load(path, inputs)
    found = sessions.identified(path, inputs, recording)
    with cc.open(path) as file:
        names = file.names("region") or [str(region) for region in range(recording.n_regions)]
    own = {"neuron_regions": recording.neuron_regions, "regions": tuple(names[: recording.n_regions])}
    identity, places = Identity(**vars(found.identity), **own), tuple(range(recording.n_regions))
    return Session(found.path, found.id, found.digest, identity, recording, places)


def read_together(paths: Sequence[str | Path], inputs: Sequence[str]) -> list[Session]:
    """Read the recordings of a fit; the order of their regions is that of the first one.

    Raises:
        ContractError: A file is damaged.
        ValueError: One is there twice or is no recording, or they differ in what a model shares.
    """
    found = sessions.together([read(path, inputs) for path in paths])
    return [session.ordered(found[0].identity.regions) for session in found]
