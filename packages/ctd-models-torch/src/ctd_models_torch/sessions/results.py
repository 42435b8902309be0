"""Where a fit of several recordings puts what it infers: a file each, and a list of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ctd_contract.command import sessions
from ctd_contract.command.sessions import INDEX, RESULT

if TYPE_CHECKING:
    from ctd_models_torch.recording import Recording


def file_names(recordings: Sequence[Recording]) -> list[str]:
    """Name of each recording's inference file; recordings of one fit have different names."""
    return sessions.file_names([recording.name for recording in recordings])


def write_index(folder: Path, recordings: Sequence[Recording]) -> None:
    """List the inference files of a fit: of each one's recording the name, id and digest."""
    rows = [
        {"name": recording.name, "file": name, "id": recording.file.id, "digest": recording.file.digest}
        for recording, name in zip(recordings, file_names(recordings), strict=True)
    ]
    sessions.write_index(folder, rows)


def any_result(run: Path) -> Path:
    """One of the inference files of a run, each of which tells which model it fitted.

    Args:
        run: Its folder, or the list of its files.
    """
    folder = run.parent if run.name == INDEX else run
    several = sorted(folder.glob("inference_*.h5"))
    return several[0] if several and not (folder / RESULT).exists() else folder / RESULT
