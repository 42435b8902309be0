"""MATLAB files of trial arrays: version 7 and older through SciPy, version 7.3 as the HDF5 that it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ctd_contract.errors import ContractError

from .trial_arrays import DATA, recognises, to_trials
from .trials import Trials

NAME = "mat"


def read(path: Path, *, bin_width_s: float | None, seed: int) -> Trials:
    """Read a `.mat` file with the names that `trial_arrays.to_trials` lists.

    A cell array is a list of trials (time, channel) that may differ in length.

    Raises:
        ContractError: The file can't be read, or holds structures in place of arrays of trials.
    """
    variables = _read_hdf5(path) if h5py.is_hdf5(path) else _read_scipy(path)
    arrays = {name: value for name, value in variables.items() if not isinstance(value, str)}
    if not recognises(arrays):
        listed = [f"{name} {_described(value)}" for name, value in sorted(variables.items())]
        raise ContractError(
            "CTD702",
            path.name,
            f"{' or '.join(DATA)}: an array (trial, time, neuron) or a cell array of (time, neuron)",
            _shortened(listed, "; ") or "nothing",
            "in MATLAB, copy the counts out of their structures: spikes = {data.counts}",
        )
    return to_trials(arrays, path.name, bin_width_s=bin_width_s, seed=seed)


def _shortened(names: list[str], separator: str = ", ", most: int = 8) -> str:
    return separator.join(names[:most] + ["..."] * (len(names) > most))


def _described(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"cell {len(value)}" if isinstance(value, list) else f"{value.dtype} {value.shape}"


def _read_scipy(path: Path) -> dict[str, Any]:
    """Variables by name: arrays, lists for cell arrays, and a description in place of a structure."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        fix = "pip install 'ctd-contract[mat]'"
        raise ContractError(
            "CTD706", path.name, "SciPy, to read MATLAB files", "none installed", fix
        ) from error
    try:
        contents: Mapping[str, Any] = loadmat(str(path))
    except Exception as error:  # SciPy raises whatever it stumbles on in a damaged file
        fix = "save it anew with save -v7"
        raise ContractError("CTD701", path.name, "a readable MATLAB file", str(error), fix) from error
    return {name: _plain(value) for name, value in contents.items() if not name.startswith("__")}


def _plain(value: Any) -> np.ndarray | list[np.ndarray] | str:
    array = np.asarray(value)
    if array.dtype.names is not None:
        return f"struct {array.shape} with fields {_shortened(list(array.dtype.names))}"
    if array.dtype.kind != "O":
        return array
    parts = [np.asarray(part) for part in array.ravel(order="F")]
    if any(part.dtype.kind not in "biufSU" for part in parts):
        return f"cell {array.shape} of structures or cells"
    return (
        np.array([str(p.item()) for p in parts])
        if all(p.dtype.kind in "SU" and p.size == 1 for p in parts)
        else parts
    )


def _read_hdf5(path: Path) -> dict[str, Any]:
    """As `_read_scipy`; MATLAB's column order makes every array the transpose of what HDF5 shows."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            names = [str(name) for name in file if not str(name).startswith("#")]
            return {name: _variable(file, file[name]) for name in names}
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        fix = "save it anew with save -v7"
        raise ContractError("CTD701", path.name, "a readable MATLAB 7.3 file", str(error), fix) from error


def _variable(file: h5py.File, item: object) -> np.ndarray | list[np.ndarray] | str:
    if isinstance(item, h5py.Group):
        return f"struct with fields {_shortened(list(item))}"
    if not isinstance(item, h5py.Dataset):
        return "of an unknown kind"
    if h5py.check_ref_dtype(item.dtype) is None:
        array = np.asarray(item[()]).T
        # Characters are stored as their code points.
        is_text = item.attrs.get("MATLAB_class") == b"char"
        return np.array("".join(map(chr, array.ravel(order="F")))) if is_text else array
    cells = [file[reference] for reference in np.asarray(item[()]).ravel()]
    parts = [_variable(file, cell) for cell in cells]
    plain = [part for part in parts if isinstance(part, np.ndarray)]
    return plain if len(plain) == len(cells) else f"cell {item.shape[::-1]} of structures or cells"
