"""Reading contract files: metadata at once, arrays lazily, sliced like NumPy."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from . import hdf5, provenance
from .errors import ContractError
from .provenance import Parent, Provenance
from .schema import AXES, SPLITS, TABLES, signal_spec

if TYPE_CHECKING:
    from .dynamics import Dynamics
    from .readout import Readout


def open(path: str | os.PathLike[str]) -> ContractFile:  # noqa: A001  (read as cc.open)
    """Open a contract file; use it as a context manager.

    Everything but the arrays is read and checked at once. Every process opens its own.

    Raises:
        ContractError: If the file isn't there, is damaged, or breaks the contract.
    """
    return ContractFile(path)


class Array:
    """A signal on disk: slicing reads it.

    Attributes:
        name: Its path in the file.
        shape, dtype: As in NumPy.
        axes: Names of its axes; None for one without a name.
        unit: Its unit.
    """

    def __init__(self, dataset: h5py.Dataset, axes: tuple[str | None, ...], where: str):
        self.name = dataset.name or ""
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype = dataset.dtype
        self.axes = axes
        self.unit = str(hdf5.plain(dataset.attrs["unit"])) if "unit" in dataset.attrs else ""
        self._dataset = dataset
        self._where = where

    def __getitem__(self, key: Any) -> np.ndarray:
        try:
            values = self._dataset[key]
        except (OSError, RuntimeError) as error:
            raise damaged(self._where, error) from error
        return hdf5.decode(values) if self.dtype.kind == "S" else values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[...], dtype=dtype)

    def __len__(self) -> int:
        return self.shape[0]

    ndim = property(lambda self: len(self.shape))

    def __repr__(self) -> str:
        sizes = ", ".join(f"{a or '?'}={n}" for a, n in zip(self.axes, self.shape, strict=True))
        return f"{self.name} ({sizes}) {self.dtype.name} {self.unit}".rstrip()


class ContractFile:
    """An open contract file.

    Attributes:
        path: The file.
        kind, id, digest, name: From its header.
        attributes: Title, license and doi where it has them.
        sizes: Size of each axis.
        signals, truth: Name to `Array`.
        tables: Name of the table to its columns (loaded when asked for).
        phases: Name to (trial, 2) bins, start and stop.
        provenance: How it came about.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        try:
            self._file = h5py.File(self.path, "r", locking=False)
        except OSError as error:
            raise damaged(str(self.path), error) from error
        header = hdf5.read_attributes(self._file)
        if header.get("ctd_complete") != 1:
            self._file.close()
            raise ContractError("CTD104", str(self.path), "ctd_complete = 1", "none", "write the file again")
        self.kind: str = header["ctd_kind"]
        self.id: str = header["ctd_id"]
        self.digest: str = header["ctd_digest"]
        self.name: str = header["name"]
        self.attributes = {k: header[k] for k in ("title", "license", "doi") if k in header}
        self.sizes = {axis: self._file[axis].shape[0] for axis in AXES if axis in self._file}
        self.signals = self._arrays("signals")
        self.truth = self._arrays("truth")
        self.tables = {t: Columns(self, t) for t in TABLES if t in self._file}
        self.phases: Mapping[str, np.ndarray] = Columns(self, "phases")
        group = self._file["provenance"]
        parents = [hdf5.read_attributes(entry) for _, entry in sorted(group["parents"].items(), key=_number)]
        self.provenance: Provenance = provenance.parse(hdf5.read_attributes(group), parents)

    def _arrays(self, folder: str) -> dict[str, Array]:
        arrays = {}
        for name, item in self._file.get(folder, {}).items():
            spec = signal_spec(name)
            if spec is not None and isinstance(item, h5py.Dataset):
                arrays[name] = Array(item, spec.axes, f"{self.path.name}:{item.name}")
        return arrays

    def read(self, path: str) -> np.ndarray:
        """A whole array by its path in the file."""
        item = self._file[path]
        return Array(item, (None,) * item.ndim, f"{self.path.name}:{path}")[...]

    # --- axes, tables and masks

    def axis(self, name: str) -> np.ndarray:
        """Ids of an axis (int64)."""
        return self.read(f"/{name}")

    @property
    def time(self) -> np.ndarray:
        """Start of each bin in s, (time,)."""
        return self.read("/time")

    @property
    def bin_width_s(self) -> float:
        """Width of a bin in s."""
        return float(self._file["time"].attrs["bin_width"])

    def split(self, name: str, *, scheme: str | None = None) -> np.ndarray:
        """Mask (trial,) of a split: ``train``, ``valid`` or ``test``, of the main scheme or another."""
        if name not in SPLITS:
            raise ValueError(f"expected one of {', '.join(SPLITS)}, got {name!r}")
        return self.tables["trials"][f"split_{scheme}" if scheme else "split"] == SPLITS[name]

    @property
    def lengths(self) -> np.ndarray:
        """Bins of each trial, int32 (trial,); the full length where the file has no such column."""
        trials = self.tables.get("trials", {})
        if "length" in trials:
            return trials["length"]
        return np.full(self.sizes["trial"], self.sizes["time"], np.int32)

    @property
    def held_out(self) -> np.ndarray:
        """Mask (neuron,) of neurons hidden from encoders."""
        return self._mask("neurons", "held_out", "neuron")

    @property
    def forward(self) -> np.ndarray:
        """Mask (time,) of bins to be predicted, hidden from encoders."""
        return self._mask("times", "forward", "time")

    def _mask(self, table: str, column: str, axis: str) -> np.ndarray:
        columns = self.tables.get(table, {})
        return columns[column] != 0 if column in columns else np.zeros(self.sizes[axis], bool)

    def valid_bins(self, rows: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Mask (trial, time) of the bins that aren't padding, of the trials `rows`."""
        return np.arange(self.sizes["time"]) < self.lengths[rows, None]

    def names(self, axis: str) -> list[str] | None:
        """Names of an axis's entries, or None."""
        columns = self.tables.get(AXES[axis].table, {})
        return columns["name"].tolist() if "name" in columns else None

    # --- dynamics

    def dynamics(self) -> Dynamics | None:
        """The vector field, its probe recomputed; None when there is none."""
        return self._dynamics("dynamics")

    def truth_dynamics(self) -> Dynamics | None:
        """The true vector field, its probe recomputed; None when there is none."""
        return self._dynamics("truth/dynamics")

    def readout(self) -> Readout | None:
        """The chain from state to rate; None when there is none."""
        return self._readout("readout")

    def truth_readout(self) -> Readout | None:
        """The true chain from state to rate; None when there is none."""
        return self._readout("truth/readout")

    def _dynamics(self, path: str) -> Dynamics | None:
        if path not in self._file:
            return None
        from .dynamics import Probe, make_dynamics

        group = self._file[path]
        parameters = {name: self.read(f"{path}/parameters/{name}") for name in group["parameters"]}
        dynamics = make_dynamics(_text(group, "kind"), parameters, hdf5.read_attributes(group))
        if "probe" in group:
            arrays = {name: self.read(f"{path}/probe/{name}") for name in group["probe"]}
            probe = Probe(arrays["state"], arrays.get("input"), arrays["next_state"], arrays.get("mode"))
            dynamics.check_probe(probe)
        return dynamics

    def _readout(self, path: str) -> Readout | None:
        if path not in self._file:
            return None
        from .readout import Layer, Readout

        group = self._file[path]
        if _text(group, "kind") == "opaque":
            return Readout.opaque()
        layers = []
        for index in range(len(group)):
            at = f"{path}/layer_{index}"
            layers.append(
                Layer(
                    self.read(f"{at}/weight"),
                    self.read(f"{at}/bias"),
                    _text(group[f"layer_{index}"], "nonlinearity"),
                )
            )
        return Readout(layers, scale=float(group.attrs["scale"]))

    # --- analysis

    @property
    def fixed_points(self) -> dict[str, dict[str, np.ndarray]]:
        """Sets of points: name to arrays, first axis point; complex ones have a last axis (re, im)."""
        groups = self._file.get("fixed_points", {})
        return {name: {k: self.read(f"/fixed_points/{name}/{k}") for k in groups[name]} for name in groups}

    # --- streaming and parents

    def blocks(self, *names: str, trials: int = 256) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
        """Consecutive blocks of trials of the named signals (``truth/rates`` addresses the truth)."""
        arrays = {name: self._addressed(name) for name in names}
        for start in range(0, self.sizes["trial"], trials):
            rows = slice(start, min(start + trials, self.sizes["trial"]))
            yield rows, {name: array[rows] for name, array in arrays.items()}

    def _addressed(self, name: str) -> Array:
        folder, _, leaf = name.rpartition("/")
        return (self.truth if folder == "truth" else self.signals)[leaf]

    def parent(self, role: str | None = None) -> Parent:
        """This file as the parent of one that is derived from it; `role` is its kind by default."""
        return Parent(self.id, self.digest, self.kind, role or self.kind)

    def close(self) -> None:
        """Close the file; arrays can't be read afterwards."""
        self._file.close()

    def __enter__(self) -> ContractFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self):
        return (open, (self.path,))

    def __repr__(self) -> str:
        sizes = " ".join(f"{axis}={size}" for axis, size in self.sizes.items())
        lines = [f"{self.path.name}: {self.kind} {self.name!r}, {sizes}"]
        lines += [f"  {array!r}" for array in (*self.signals.values(), *self.truth.values())]
        return "\n".join(lines)


class Columns(Mapping[str, np.ndarray]):
    """Columns of one table; each is read when it is first asked for."""

    def __init__(self, file: ContractFile, table: str):
        self._file = file
        self._table = table
        self._names = tuple(file._file[table]) if table in file._file else ()
        self._loaded: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._loaded:
            self._loaded[name] = self._file.read(f"/{self._table}/{name}")
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def damaged(where: str, error: Exception) -> ContractError:
    """An HDF5 error as a `ContractError`."""
    return ContractError(
        "CTD103", where, "a readable file", str(error), "get the file again, or write it anew"
    )


def _text(group: h5py.Group, name: str) -> str:
    return str(hdf5.plain(group.attrs[name]))


def _number(item: tuple[str, object]) -> int:
    return int(item[0])
