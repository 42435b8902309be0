"""The recordings of one fit: read together, named, and alike in what a model shares between them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import ctd_contract as cc
from ctd_models_jax.mrsds.data import Trials, load


@dataclass(frozen=True)
class Session:
    """A recording of a fit.

    Attributes:
        name: Different from the others' names; files can be called by it.
        path: Of its file.
        digest: Of its content.
        bin_width_s: Of its bins.
        trials: All of them.
        splits: Rows of the trials of each split.
        held_in: (neuron,) which neurons the encoder may see.
        signal: ``spikes`` or ``activity``.
    """

    name: str
    path: Path
    digest: str
    bin_width_s: float
    trials: Trials
    splits: dict[str, np.ndarray]
    held_in: tuple[bool, ...]
    signal: str


def load_sessions(paths: Sequence[str | Path], inputs: Sequence[str]) -> list[Session]:
    """Read recordings of spikes or activity, in the order of their names: nothing depends on that of the
    paths.

    Args:
        paths: Of the files.
        inputs: Signals that drive the generators.

    Raises:
        ContractError: A file is damaged.
        ValueError: There is none, one is there twice or is no recording, or they differ in what a model
            shares.
    """
    if not paths:
        raise ValueError("no recording was given: data names one or several")
    known: list[tuple[str, str, float]] = []
    alike: list[dict[str, object]] = []
    sessions: list[Session] = []
    for path in paths:
        with cc.open(path) as file:
            known.append((file.name, file.digest, file.bin_width_s))
            alike.append(_shared(file))
        if known[-1][1] in [digest for _, digest, _ in known[:-1]]:
            raise ValueError(f"{path} is given twice: give every recording once")
    for path, other in zip(paths, alike, strict=True):
        for what, expected in alike[0].items():
            if other[what] != expected:
                raise ValueError(
                    f"{paths[0]} and {path} can't be fitted together, since they differ in the {what}: "
                    f"{expected} and {other[what]}"
                )
    names = session_names([name for name, *_ in known])
    for path, name, (_, digest, bin_width_s) in zip(paths, names, known, strict=True):
        found = load(path, inputs)
        parts = (found.trials, found.splits, found.held_in, found.signal)
        sessions.append(Session(name, Path(path), digest, bin_width_s, *parts))
    for session in sessions[1:]:
        n_inputs = [one.trials.inputs.shape[-1] for one in (sessions[0], session)]
        if n_inputs[0] != n_inputs[1]:
            raise ValueError(
                f"{sessions[0].path} and {session.path} can't be fitted together: "
                f"they have {n_inputs[0]} and {n_inputs[1]} input channels"
            )
    return sorted(sessions, key=lambda session: session.name)


def session_names(names: Sequence[str]) -> list[str]:
    """Names that differ and that files can be called by: recordings of one name are numbered, from 1."""
    plain = [re.sub(r"[^\w.-]+", "-", name).strip("-.") or "recording" for name in names]
    numbered = [
        f"{name}-{1 + plain[:index].count(name)}" if plain.count(name) > 1 else name
        for index, name in enumerate(plain)
    ]
    return numbered if len(set(numbered)) == len(numbered) else session_names(numbered)


def _shared(file: cc.ContractFile) -> dict[str, object]:
    """What has to be the same in all recordings of a fit."""
    return {
        "observations": "spikes" if "spikes" in file.signals else "activity",
        "bin width in s": round(file.bin_width_s, 9),
        "number of bins": len(file.time),
        "forward bins": np.flatnonzero(file.forward).tolist(),
    }
