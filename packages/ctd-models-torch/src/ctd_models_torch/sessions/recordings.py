"""The recordings of one fit: opened together, named, and alike in what a model shares between them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

import ctd_contract as cc
from ctd_contract.command.sessions import session_names
from ctd_models_torch.config import RecordingConfig
from ctd_models_torch.errors import InputError, shortened
from ctd_models_torch.recording import Recording


def open_recordings(
    paths: Sequence[str | Path], config: RecordingConfig, stack: ExitStack, *, behavior: bool = False
) -> list[Recording]:
    """Open the recordings of a fit, in the order of their names: nothing depends on that of the paths.

    Args:
        paths: Of the files.
        config: How they are read; the memory is for all of them together.
        stack: Closes the files.
        behavior: Whether behaviour is predicted as well.

    Raises:
        InputError: There is none, one is there twice, or they differ in what a model shares.
    """
    if not paths:
        raise InputError("no recording was given: data names one or several")
    files = [stack.enter_context(cc.open(path)) for path in paths]
    recordings = [
        Recording(file, config, behavior=behavior, name=name)
        for file, name in zip(files, session_names([file.name for file in files]), strict=True)
    ]
    recordings.sort(key=lambda recording: recording.name)
    first, *others = recordings
    for index, other in enumerate(others, 1):
        twin = next((r for r in recordings[:index] if r.file.digest == other.file.digest), None)
        if twin is not None:
            raise InputError(f"{twin.file.path} and {other.file.path} are the same recording: give it once")
        _check_alike(first, other)
    if others:
        _share_memory(recordings, config.memory_mb * 2**20)
    return recordings


def _check_alike(first: Recording, other: Recording) -> None:
    """Refuse recordings that one model can't be made for."""
    pairs = zip(_shared(first).items(), _shared(other).values(), strict=True)
    for (what, expected), got in pairs:
        if expected != got and None not in (expected, got):
            raise InputError(
                f"{first.file.path} and {other.file.path} can't be fitted together, since they differ in the "
                f"{what}: {shortened(expected)} and {shortened(got)}"
            )


def _shared(recording: Recording) -> dict[str, object]:
    """What has to be the same in all recordings of a fit; None fits everything."""
    file = recording.file
    return {
        "observations": recording.signal,
        "bin width in s": round(file.bin_width_s, 9),
        "number of bins": len(file.time),
        "start of the first bin in s": round(float(file.time[0]), 9),
        "forward bins": np.flatnonzero(file.forward).tolist(),
        "number of input channels": recording.input_size,
        "names of the input channels": file.names("input") if recording.input_size else None,
    }


def _share_memory(recordings: Sequence[Recording], n_bytes: int) -> None:
    """Hold the smallest recordings in memory, as many as fit together; stream the others."""
    for recording in sorted(recordings, key=lambda recording: recording.n_bytes):
        recording.in_memory = recording.n_bytes <= n_bytes
        n_bytes -= recording.n_bytes
