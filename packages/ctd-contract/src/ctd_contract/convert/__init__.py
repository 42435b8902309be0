"""Other formats in, and out again.

`convert` tells what a file is; each format is a module of its own with a NAME and functions to `read`
or `write` it.
"""

from __future__ import annotations

import os
from pathlib import Path

import h5py

from ctd_contract.errors import ContractError
from ctd_contract.inventory import damaged
from ctd_contract.reader import open as open_file

from . import ctdb, lfads_torch, mat, npz
from .trials import write_recording

CONTRACT = "contract"
READERS = {module.NAME: module for module in (lfads_torch, ctdb, npz, mat)}
WRITERS = {lfads_torch.NAME: lfads_torch}

__all__ = ["CONTRACT", "READERS", "WRITERS", "convert", "detect"]


def detect(path: Path) -> str:
    """Return the format of a file, by its name's ending and its keys.

    Raises:
        ContractError: It isn't there, or none fits.
    """
    if not path.is_file():
        raise ContractError("CTD701", str(path), "a file", "none", "check the name")
    if path.suffix.lower() in (".npz", ".mat"):
        return path.suffix.lower().removeprefix(".")
    found = f"a file of type {path.suffix or 'unknown'}"
    if h5py.is_hdf5(path):
        try:
            with h5py.File(path, "r", locking=False) as file:
                is_contract, names = "ctd_contract" in file.attrs, set(map(str, file))
        except (OSError, RuntimeError) as error:
            raise damaged(str(path), error) from error
        if is_contract:
            return CONTRACT
        # CtDB's keys include those of lfads-torch, so it is asked first.
        for module in (ctdb, lfads_torch):
            if module.recognises(names):
                return module.NAME
        found = "keys " + ", ".join(sorted(names)[:12])
    fix = f"state the format with --from: {', '.join(READERS)}"
    expected = f"a contract file or one of {', '.join(READERS)}"
    raise ContractError("CTD701", path.name, expected, found, fix)


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    source_format: str | None = None,
    target_format: str | None = None,
    bin_width_s: float | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> tuple[str, str]:
    """Convert a file to a contract recording, or a recording to another format.

    Args:
        source: The file to read.
        target: The file to write.
        source_format: One of READERS, or `contract`; told from the file by default.
        target_format: `contract`, or one of WRITERS; by default `contract`, or lfads-torch when the
            source is a contract file.
        bin_width_s: Width of a bin in s, for formats that don't state it.
        seed: Of splits that are drawn. A source with two splits: its valid becomes test, and a tenth of
            train, drawn by the seed, becomes valid.
        overwrite: Replace an existing target.

    Returns:
        The two formats.

    Raises:
        ContractError: The source can't be read so, or the target can't hold it.
    """
    source, target = Path(source), Path(target)
    reading = source_format or detect(source)
    writing = target_format or (lfads_torch.NAME if reading == CONTRACT else CONTRACT)
    if (reading == CONTRACT) == (writing == CONTRACT) or not {reading, writing} <= {CONTRACT, *READERS}:
        fix = f"from {', '.join(READERS)} to {CONTRACT}, or from {CONTRACT} to {', '.join(WRITERS)}"
        raise ContractError("CTD701", source.name, "formats that convert", f"{reading} to {writing}", fix)
    if reading == CONTRACT:
        if writing not in WRITERS:
            fix = f"one of {', '.join(WRITERS)}"
            raise ContractError("CTD701", source.name, "a format to write", writing, fix)
        with open_file(source) as recording:
            WRITERS[writing].write(recording, target, overwrite=overwrite)
    else:
        trials = READERS[reading].read(source, bin_width_s=bin_width_s, seed=seed)
        write_recording(trials, source, target, format_name=reading, seed=seed, overwrite=overwrite)
    return reading, writing
