"""The recordings of one fit: read together, named, and alike in what a model shares between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import ctd_contract as cc
from ctd_contract.command.sessions import session_names
from ctd_models_jax.mrsds.data import Regions, load


@dataclass(frozen=True)
class Identity:
    """What a session's model is for; plain data, so that it can be kept with the model.

    Attributes:
        name: Different from the others' names; files can be called by it.
        neurons: Their ids.
        neuron_regions: The region of each, by its place in `regions`.
        held_in: Which neurons the encoder may see.
        regions: Names, in the model's order.
        inputs: Names of the input channels, where there are any.
        n_inputs: How many there are.
        signal: ``spikes`` or ``activity``.
        bin_width_s: Of a bin.
    """

    name: str
    neurons: tuple[int, ...]
    neuron_regions: tuple[int, ...]
    held_in: tuple[bool, ...]
    regions: tuple[str, ...]
    inputs: tuple[str, ...] | None
    n_inputs: int
    signal: str
    bin_width_s: float

    @property
    def shared(self) -> dict[str, object]:
        """What has to be the same in all sessions of a model; None fits everything."""
        return {
            "observations": self.signal,
            "bin width in s": round(self.bin_width_s, 9),
            "regions": sorted(self.regions),
            "number of input channels": self.n_inputs,
            "names of the input channels": self.inputs,
        }

    @property
    def own(self) -> dict[str, object]:
        """What a recording must have to be of this session: where each neuron lies, and what is hidden."""
        lies = [self.regions[region] for region in self.neuron_regions]
        return self.shared | {
            "ids of the neurons": self.neurons,
            "regions of the neurons": lies,
            "held-out neurons": [i for i, seen in zip(self.neurons, self.held_in, strict=True) if not seen],
        }

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Identity:
        """From what `dataclasses.asdict` made of it."""
        lists: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()
        }
        return cls(**lists)


@dataclass(frozen=True)
class Session:
    """A recording of a fit.

    Attributes:
        path: Of its file.
        id: Of its file.
        digest: Of its content.
        identity: What a model of it is for.
        recording: Its trials, regions in the model's order.
        file_regions: The place that the file gives each region.
    """

    path: Path
    id: str
    digest: str
    identity: Identity
    recording: Regions
    file_regions: tuple[int, ...]

    def renamed(self, name: str) -> Session:
        """The same under another name."""
        return replace(self, identity=replace(self.identity, name=name))

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
    with cc.open(path) as file:
        names = file.names("region") or [str(region) for region in range(recording.n_regions)]
        channels = file.names("input") if list(inputs) == ["inputs"] else None
        identity = Identity(
            name=file.name,
            neurons=tuple(file.axis("neuron").tolist()),
            neuron_regions=recording.neuron_regions,
            held_in=recording.held_in,
            regions=tuple(names[: recording.n_regions]),
            inputs=None if channels is None else tuple(channels),
            n_inputs=recording.trials.inputs.shape[-1],
            signal=recording.signal,
            bin_width_s=file.bin_width_s,
        )
        places = tuple(range(recording.n_regions))
        return Session(Path(path), file.id, file.digest, identity, recording, places)


def read_together(paths: Sequence[str | Path], inputs: Sequence[str]) -> list[Session]:
    """Read the recordings of a fit, in the order of their names: nothing depends on that of the paths.

    Regions are matched by name; their order is that of the first recording.

    Raises:
        ContractError: A file is damaged.
        ValueError: One is there twice or is no recording, or they differ in what a model shares.
    """
    sessions = [read(path, inputs) for path in paths]
    names = session_names([session.identity.name for session in sessions])
    sessions = [session.renamed(name) for session, name in zip(sessions, names, strict=True)]
    sessions.sort(key=lambda session: session.identity.name)
    first = sessions[0]
    for index, other in enumerate(sessions[1:], 1):
        twin = next((one for one in sessions[:index] if one.digest == other.digest), None)
        if twin is not None:
            raise ValueError(f"{twin.path} and {other.path} are the same recording: give it once")
        if found := different(first.identity.shared, other.identity.shared):
            what, expected, got = found
            raise ValueError(
                f"{first.path} and {other.path} can't be fitted together, since they differ in the {what}: "
                f"{expected} and {got}"
            )
    return [session.ordered(first.identity.regions) for session in sessions]


def different(expected: Mapping[str, object], got: Mapping[str, object]) -> tuple[str, object, object] | None:
    """The first thing in which two descriptions differ, and both values; None where they don't."""
    for what, value in expected.items():
        if value != got[what] and None not in (value, got[what]):
            return what, value, got[what]
    return None
