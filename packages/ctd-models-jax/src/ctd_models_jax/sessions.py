"""The recordings of one fit: read together, named, alike in what a model shares, and found again later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import ctd_contract as cc
from ctd_contract.command.sessions import session_names
from ctd_models_jax import recording
from ctd_models_jax.recording import Recording

# Entries up to which an error shows a list whole.
SHOWN = 12


@dataclass(frozen=True)
class Identity:
    """What a session's model is for; plain data, so that it can be kept with the model.

    Attributes:
        name: Different from the others' names; files can be called by it.
        neurons: Their ids.
        held_in: Which neurons the encoder may see.
        inputs: Names of the input channels, where there are any.
        n_inputs: How many there are.
        signal: ``spikes`` or ``activity``.
        bin_width_s: Of a bin.
    """

    name: str
    neurons: tuple[int, ...]
    held_in: tuple[bool, ...]
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
            "number of input channels": self.n_inputs,
            "names of the input channels": self.inputs,
        }

    @property
    def own(self) -> dict[str, object]:
        """What a recording must have to be of this session: its neurons, and which of them are hidden."""
        return self.shared | {
            "ids of the neurons": self.neurons,
            "held-out neurons": [i for i, seen in zip(self.neurons, self.held_in, strict=True) if not seen],
        }

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
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
        recording: Its trials.
    """

    path: Path
    id: str
    digest: str
    identity: Identity
    recording: Recording

    def row(self, **files: str) -> dict[str, str]:
        """What the list of a fit's sessions says of this one: its files, by what they are."""
        return {"name": self.identity.name, "id": self.id, "digest": self.digest, **files}


S = TypeVar("S", bound=Session)


def read(path: str | Path, inputs: Sequence[str]) -> Session:
    """Read a recording; errors as of `recording.load`."""
    return identified(path, inputs, recording.load(path, inputs))


def identified(path: str | Path, inputs: Sequence[str], found: Recording) -> Session:
    """A recording that was read, and what a model of it is for."""
    with cc.open(path) as file:
        channels = file.names("input") if list(inputs) == ["inputs"] else None
        identity = Identity(
            name=file.name,
            neurons=tuple(file.axis("neuron").tolist()),
            held_in=found.held_in,
            inputs=None if channels is None else tuple(channels),
            n_inputs=found.trials.inputs.shape[-1],
            signal=found.signal,
            bin_width_s=file.bin_width_s,
        )
        return Session(Path(path), file.id, file.digest, identity, found)


def together(
    sessions: Sequence[S], shared: Callable[[S], Mapping[str, object]] = lambda one: one.identity.shared
) -> list[S]:
    """The sessions of a fit under names that differ, in the order of these: nothing depends on their own.

    Args:
        sessions: As they were read.
        shared: What has to be the same in all of them, of one.

    Raises:
        ValueError: One is there twice, has no trials to be fitted to, or they differ in what a model shares.
    """
    for one in sessions:
        recording.require_splits(one.path, one.recording)
    names = session_names([one.identity.name for one in sessions])
    pairs = sorted(zip(names, sessions, strict=True), key=lambda pair: pair[0])
    named = [replace(one, identity=replace(one.identity, name=name)) for name, one in pairs]
    first = named[0]
    for index, other in enumerate(named[1:], 1):
        twin = next((one for one in named[:index] if one.digest == other.digest), None)
        if twin is not None:
            raise ValueError(f"{twin.path} and {other.path} are the same recording: give it once")
        if found := different(shared(first), shared(other)):
            what, expected, got = found
            raise ValueError(
                f"{first.path} and {other.path} can't be fitted together, since they differ in the {what}: "
                f"{expected} and {got}"
            )
    return named


def session_of(identities: Sequence[Identity], session: Session, name: str | None) -> int:
    """Position of the session that a recording is one of.

    Args:
        identities: Of the model's sessions.
        session: The recording.
        name: Which one it is; None to find it by the neurons, and among several by the recording's name.

    Raises:
        ValueError: It is none of them, or may be several.
    """
    names = [identity.name for identity in identities]
    if name is not None and name not in names:
        raise ValueError(f"session={name}: the model was fitted to {', '.join(names)}")
    asked = range(len(names)) if name is None else [names.index(name)]
    fitting, reasons = [], []
    for index in asked:
        found = different(identities[index].own, session.identity.own)
        if found is None:
            fitting.append(index)
        else:
            what, expected, got = found
            reasons.append(f"{names[index]} differs in the {what}: expected {expected}, got {got}")
    if not fitting:
        raise ValueError(f"{session.path} is no recording that the model is for; {'; '.join(reasons)}")
    own = session_names([session.identity.name])[0]
    chosen = [index for index in fitting if names[index] == own] or fitting
    if len(chosen) > 1:
        called = ", ".join(names[index] for index in chosen)
        raise ValueError(
            f"{session.path} fits several of the recordings that the model was fitted to: choose one with "
            f"session= one of {called}"
        )
    return chosen[0]


def different(expected: Mapping[str, object], got: Mapping[str, object]) -> tuple[str, object, object] | None:
    """The first thing in which two descriptions differ, and both values; None where they don't.

    Of long lists, say ids of hundreds of neurons, it is the part where they begin to differ.
    """
    for what, value in expected.items():
        other = got[what]
        if value == other or None in (value, other):
            continue
        return what, *_excerpts(value, other)
    return None


def _excerpts(one: object, other: object) -> tuple[object, object]:
    """Both, or of lists too long to show where they begin to differ."""
    if not (isinstance(one, list | tuple) and isinstance(other, list | tuple)):
        return one, other
    if max(len(one), len(other)) <= SHOWN:
        return one, other
    shorter = min(len(one), len(other))
    start = next((place for place in range(shorter) if one[place] != other[place]), shorter)

    def shown(values: Sequence[object]) -> str:
        some = ", ".join(map(str, values[start : start + SHOWN // 2])) or "nothing"
        return f"{some} from place {start} of {len(values)}"

    return shown(one), shown(other)
