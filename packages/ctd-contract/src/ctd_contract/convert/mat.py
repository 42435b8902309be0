"""MATLAB files of trial arrays: version 7 and older through SciPy, version 7.3 as the HDF5 that it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ctd_contract.errors import ContractError

from .design import Design
from .select import Selection, Value
from .trial_arrays import DATA, recognises, to_trials
from .trials import Trials

NAME = "mat"


def read(path: Path, *, bin_width_s: float | None, design: Design, selection: Selection) -> Trials:
    """Read a `.mat` file with the names that `trial_arrays.to_trials` lists.

    A cell array is a list of trials (time, channel) that may differ in length.

    Args:
        path: The file.
        bin_width_s: Width of a bin in s, where the file is silent.
        design: Draws the splits where the file has none.
        selection: What is taken of its variables, those in structures included.

    Raises:
        ContractError: The file can't be read, or holds structures where arrays of trials are looked for.
    """
    variables = _read_hdf5(path) if h5py.is_hdf5(path) else _read_scipy(path)
    if not recognises([*variables, *selection.names]):
        listed = [f"{name} {_described(value)}" for name, value in sorted(variables.items())]
        raise ContractError(
            "CTD702",
            path.name,
            f"{' or '.join(DATA)}: an array (trial, time, neuron) or a cell array of (time, neuron)",
            _shortened(listed, "; ") or "nothing",
            "say which variable holds the counts: --map spikes=VARIABLE, or spikes=STRUCTURE.FIELD",
        )
    return to_trials(
        variables, path.name, bin_width_s=bin_width_s, design=design, selection=selection, first_channel=1
    )


def _shortened(names: list[str], separator: str = ", ", most: int = 8) -> str:
    return separator.join(names[:most] + ["..."] * (len(names) > most))


def _described(value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return f"struct with fields {_shortened(list(value))}"
    return f"cell {len(value)}" if isinstance(value, list) else f"{value.dtype} {value.shape}"


def _read_scipy(path: Path) -> dict[str, Any]:
    """Variables by name: arrays, lists for cell arrays, dicts for structures, or a description."""
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


def _plain(value: Any) -> Value:
    array = np.asarray(value)
    if array.dtype.names is not None:
        # The elements of a structure array are one list for each field.
        return {
            name: _plain(array[name].ravel(order="F")[0]) if array.size == 1 else _cell(array[name])
            for name in array.dtype.names
        }
    return _cell(array) if array.dtype.kind == "O" else array


def _cell(array: np.ndarray) -> Value:
    return _of_parts([_plain(part) for part in array.ravel(order="F")], array.shape)


def _of_parts(parts: list[Value], shape: tuple[int, ...]) -> Value:
    """The parts of a cell array: their texts, their arrays, or a description where they are neither."""
    if any(not isinstance(part, np.ndarray) or part.dtype.kind not in "biufSU" for part in parts):
        return f"cell {shape} of structures or cells"
    if parts and all(part.dtype.kind in "SU" and part.size <= 1 for part in parts):
        return np.array([str(part.item()) if part.size else "" for part in parts])
    return parts


def _read_hdf5(path: Path) -> dict[str, Any]:
    """As `_read_scipy`; MATLAB's column order makes every array the transpose of what HDF5 shows."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            names = [str(name) for name in file if not str(name).startswith("#")]
            return {name: _variable(file, file[name]) for name in names}
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        fix = "save it anew with save -v7"
        raise ContractError("CTD701", path.name, "a readable MATLAB 7.3 file", str(error), fix) from error


def _variable(file: h5py.File, item: object) -> Value:
    if isinstance(item, h5py.Group):
        return {str(name): _variable(file, item[name]) for name in item}
    if not isinstance(item, h5py.Dataset):
        return "of an unknown kind"
    if h5py.check_ref_dtype(item.dtype) is None:
        array = np.asarray(item[()]).T
        # Characters are stored as their code points.
        is_text = item.attrs.get("MATLAB_class") == b"char"
        return np.array("".join(map(chr, array.ravel(order="F")))) if is_text else array
    cells = [file[reference] for reference in np.asarray(item[()]).ravel()]
    return _of_parts([_variable(file, cell) for cell in cells], item.shape[::-1])
