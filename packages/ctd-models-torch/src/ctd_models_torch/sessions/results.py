"""Where a fit of several recordings puts what it infers: a file each, and a list of them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctd_models_torch.recording import Recording

RESULT = "inference.h5"
# Written last: with it a fit of several recordings has finished.
INDEX = "sessions.json"


def file_names(recordings: Sequence[Recording]) -> list[str]:
    """Name of each recording's inference file; recordings of one fit have different names."""
    if len(recordings) == 1:
        return [RESULT]
    return [f"inference_{recording.name}.h5" for recording in recordings]


def write_index(folder: Path, recordings: Sequence[Recording]) -> None:
    """List the inference files of a fit: of each one's recording the name, id and digest."""
    rows = [
        {"name": recording.name, "file": name, "id": recording.file.id, "digest": recording.file.digest}
        for recording, name in zip(recordings, file_names(recordings), strict=True)
    ]
    partial = folder / f".{INDEX}.{os.getpid()}.partial"
    partial.write_text(json.dumps({"sessions": rows}, indent=1))
    partial.replace(folder / INDEX)


def any_result(run: Path) -> Path:
    """One of the inference files of a run, each of which tells which model it fitted.

    Args:
        run: Its folder, or the list of its files.
    """
    folder = run.parent if run.name == INDEX else run
    several = sorted(folder.glob("inference_*.h5"))
    return several[0] if several and not (folder / RESULT).exists() else folder / RESULT
