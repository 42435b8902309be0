"""NumPy archives of trial arrays."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from ctd_contract.errors import ContractError

from .design import Design
from .select import Selection
from .trial_arrays import to_trials
from .trials import Trials

NAME = "npz"


def read(path: Path, *, bin_width_s: float | None, design: Design, selection: Selection) -> Trials:
    """Read an `.npz` file with the names that `trial_arrays.to_trials` lists; pickled objects are refused.

    Args:
        path: The file.
        bin_width_s: Width of a bin in s, where the file is silent.
        design: Draws the splits where the file has none.
        selection: What is taken of its arrays.

    Raises:
        ContractError: The file can't be read without executing it, or its arrays don't fit.
    """
    try:
        # NumPy leaves a file open that it opened itself and that turns out to be no archive.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        fix = "save plain arrays; pad trials of unequal length and add their lengths as `length`"
        raise ContractError("CTD701", path.name, "an archive of plain arrays", str(error), fix) from error
    return to_trials(
        arrays, path.name, bin_width_s=bin_width_s, design=design, selection=selection, first_channel=0
    )
