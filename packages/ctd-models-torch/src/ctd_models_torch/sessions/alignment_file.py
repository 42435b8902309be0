"""Alignments on disk: what `align` found of each recording, in one file without code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from ctd_contract.torch.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from ctd_models_torch.errors import InputError
from ctd_models_torch.recording import Recording
from ctd_models_torch.sessions.alignment import Aligned

KIND = "ctd alignment 1"
_ARRAYS = ("weight", "bias", "readout", "mean")


def save_alignment(path: Path, recordings: Sequence[Recording], aligned: Sequence[Aligned]) -> None:
    """Write each recording's part of an alignment under its digest."""
    sessions = {}
    for recording, own in zip(recordings, aligned, strict=True):
        arrays = {name: torch.from_numpy(value) for name, value in asdict(own).items() if name in _ARRAYS}
        sessions[recording.file.digest] = {"name": recording.name, "r2": own.r2, **arrays}
    save_checkpoint(path, {"kind": KIND, "sessions": sessions})


def load_alignment(path: str | Path, recordings: Sequence[Recording]) -> list[Aligned]:
    """Read the parts of some recordings.

    Raises:
        InputError: There is no such file, it is no alignment, or a recording isn't in it.
    """
    try:
        tree = load_checkpoint(path)
    except FileNotFoundError:
        raise InputError(f"there is no alignment at {path}: make one with ctd-models-torch align") from None
    except CheckpointError as error:
        raise InputError(str(error)) from error
    if tree.get("kind") != KIND:
        raise InputError(f"{path} is no alignment: make one with ctd-models-torch align")
    found = []
    for recording in recordings:
        own = tree["sessions"].get(recording.file.digest)
        if own is None:
            raise InputError(
                f"{path} was made of other recordings than {recording.file.path}: make one of all recordings "
                "of the fit with ctd-models-torch align"
            )
        found.append(Aligned(**{name: own[name].numpy() for name in _ARRAYS}, r2=own["r2"]))
    return found
