"""Other formats in, and out again.

`convert` tells what a file is; each format is a module of its own with a NAME and functions to `read`
or `write` it.
"""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np

from ctd_contract.errors import ContractError
from ctd_contract.inventory import damaged
from ctd_contract.reader import open as open_file

from . import ctdb, lfads_torch, mat, npz
from .design import Design
from .labels import Labels
from .select import Selection
from .trials import Trials, sort_by_region, write_recording

CONTRACT = "contract"
# Formats whose keys have a meaning, and those with names of the user's own.
_KEYED = {module.NAME: module for module in (lfads_torch, ctdb)}
_NAMED = {module.NAME: module for module in (npz, mat)}
READERS = _KEYED | _NAMED
WRITERS = {lfads_torch.NAME: lfads_torch}
# What the command calls some of the options.
OPTIONS = {"names": "map", "units": "unit"}

__all__ = ["CONTRACT", "READERS", "WRITERS", "Design", "Labels", "Selection", "convert", "detect"]


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
    design: Design | None = None,
    selection: Selection | None = None,
    labels: Labels | None = None,
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
        design: Splits, held-out neurons and forward bins, drawn by a seed or stated. By default a source
            with two splits gets a third: its valid becomes test, a tenth of train becomes valid.
        selection: Which variables, trials, bins and neurons are taken of an `.npz` or `.mat` file.
        labels: The recording's name, and units and names of channels.
        overwrite: Replace an existing target.

    Returns:
        The two formats.

    Raises:
        ContractError: The source can't be read so, or the target can't hold it.
    """
    source, target = Path(source), Path(target)
    reading, writing = _formats(source, source_format, target_format)
    design, selection, labels = design or Design(), selection or Selection(), labels or Labels()
    _refuse_options(source.name, reading, design, selection, labels)
    if reading == CONTRACT:
        with open_file(source) as recording:
            WRITERS[writing].write(recording, target, overwrite=overwrite)
        return reading, writing
    if reading in _KEYED:
        trials = _KEYED[reading].read(source, bin_width_s=bin_width_s, design=design)
    else:
        trials = _NAMED[reading].read(source, bin_width_s=bin_width_s, design=design, selection=selection)
    _complete(trials, source.name, design, labels)
    write_recording(
        trials,
        source,
        target,
        name=labels.name,
        config={"format": reading, **_chosen(design), **_chosen(selection)},
        seed=design.seed,
        overwrite=overwrite,
    )
    return reading, writing


def _formats(source: Path, source_format: str | None, target_format: str | None) -> tuple[str, str]:
    """Return the formats of source and target.

    Raises:
        ContractError: One of them isn't known, or neither or both are the contract's.
    """
    reading = source_format or detect(source)
    writing = target_format or (lfads_torch.NAME if reading == CONTRACT else CONTRACT)
    if (reading == CONTRACT) == (writing == CONTRACT) or not {reading, writing} <= {CONTRACT, *READERS}:
        fix = f"from {', '.join(READERS)} to {CONTRACT}, or from {CONTRACT} to {', '.join(WRITERS)}"
        raise ContractError("CTD701", source.name, "formats that convert", f"{reading} to {writing}", fix)
    if reading == CONTRACT and writing not in WRITERS:
        fix = f"one of {', '.join(WRITERS)}"
        raise ContractError("CTD701", source.name, "a format to write", writing, fix)
    return reading, writing


def _refuse_options(where: str, reading: str, design: Design, selection: Selection, labels: Labels) -> None:
    """Refuse what the formats give no meaning to, rather than leave it unheard."""
    unheard = [] if reading in _NAMED else list(_chosen(selection))
    if reading == CONTRACT:
        unheard += [name for name in {**_chosen(design), **_chosen(labels)} if name != "seed"]
    if unheard:
        listed = ", ".join(f"--{OPTIONS.get(name, name)}".replace("_", "-") for name in unheard)
        fix = "leave them out, or save the source as .npz"
        raise ContractError("CTD703", where, f"no options that {reading} files have no use for", listed, fix)


def _complete(trials: Trials, where: str, design: Design, labels: Labels) -> None:
    """Add what is drawn or stated beside the source."""
    n_trials, n_time, n_neurons = trials.data.shape
    columns, names = design.columns(where, n_time, n_neurons, trials.columns)
    if design.trials_per_condition is not None:
        ids = np.arange(n_trials) if trials.trial is None else trials.trial
        columns["trials", "condition"] = design.condition(where, ids)
    trials.columns |= columns
    trials.names |= names
    codes = trials.columns.get(("trials", "condition"))
    if codes is not None and codes.size and "condition" not in trials.names:
        trials.names["condition"] = [f"condition {i}" for i in range(int(codes.max()) + 1)]
    labels.apply(trials, where)
    sort_by_region(trials)


def _chosen(options: object) -> dict[str, object]:
    """The options that aren't the defaults."""
    default = type(options)()
    return {k: v for k, v in vars(options).items() if v != getattr(default, k)}
