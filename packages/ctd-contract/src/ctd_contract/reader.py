"""Reading contract files: metadata at once, arrays lazily, sliced like NumPy."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import portable, provenance, structure
from .errors import WARNING, ContractWarning
from .inventory import Entry, Inventory, open_file, read, take
from .provenance import Parent, Provenance
from .report import Report
from .schema import AXES, SPLITS, TABLES, signal_spec

# Scattered rows are read in blocks of this size.
BLOCK_BYTES = 1024 * 1024

if TYPE_CHECKING:
    from .dynamics import Dynamics, Probe
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

    def __init__(self, entry: Entry, axes: tuple[str | None, ...], where: str):
        self.name = entry.path
        self.shape = entry.shape
        self.dtype = entry.dtype
        self.axes = axes
        self.unit: str = entry.attributes.get("unit", "")
        self._dataset = entry.dataset
        self._where = where
        self._block_rows = max(1, BLOCK_BYTES // max(1, self.dtype.itemsize * math.prod(self.shape[1:])))

    def __getitem__(self, key: Any) -> np.ndarray:
        first, *rest = key if isinstance(key, tuple) and key else (key,)
        if isinstance(first, list | np.ndarray) and not any(isinstance(k, list | np.ndarray) for k in rest):
            return self._rows(np.asarray(first), rest)
        return read(self._dataset, key, self._where)

    def _rows(self, rows: np.ndarray, rest: list[Any]) -> np.ndarray:
        """Trials by mask or index, in any order: HDF5's own selection of scattered rows takes forever."""
        if rows.ndim != 1 or (rows.dtype == bool and len(rows) != len(self)):
            raise IndexError(f"expected a flat mask or index over {len(self)} rows, got shape {rows.shape}")
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        rows = rows.astype(np.int64, casting="same_kind" if len(rows) else "unsafe")
        if len(rows) and not -len(self) <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"expected rows below {len(self)}, got {rows.min()} to {rows.max()}")
        rows = rows % max(1, len(self))
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        result = read(self._dataset, (slice(0, 0), *rest), self._where)
        result = np.empty((len(rows), *result.shape[1:]), result.dtype)
        step = self._block_rows
        for start in np.unique(ordered // step) * step:
            here = slice(*np.searchsorted(ordered, (start, start + step)))
            block = read(self._dataset, (slice(int(start), int(start) + step), *rest), self._where)
            result[order[here]] = block[ordered[here] - start]
        return result

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
        self._file = open_file(self.path)
        report = Report(self.path.name)
        try:
            self._inventory = take(self._file, report)
            report.raise_first()
            structure.check(self._inventory, report)
            report.raise_first()
        except BaseException:
            self._file.close()
            raise
        _warn(report)
        header = self._inventory["/"].attributes
        self.kind: str = header["ctd_kind"]
        self.id: str = header["ctd_id"]
        self.digest: str = header["ctd_digest"]
        self.name: str = header["name"]
        self.attributes = {k: header[k] for k in ("title", "license", "doi") if k in header}
        self.sizes = {
            axis: entry.shape[0]
            for axis in AXES
            if (entry := self._inventory.dataset(f"/{axis}")) is not None
        }
        self.signals = self._arrays("/signals")
        self.truth = self._arrays("/truth")
        self.tables = {t: Columns(self._inventory, f"/{t}") for t in TABLES if f"/{t}" in self._inventory}
        self.phases: Mapping[str, np.ndarray] = Columns(self._inventory, "/phases")
        parents = dict(self._inventory.children("/provenance/parents"))
        self.provenance: Provenance = provenance.parse(
            self._inventory["/provenance"].attributes,
            [parents[name].attributes for name in sorted(parents, key=int)],
        )

    def _arrays(self, folder: str) -> dict[str, Array]:
        return {
            name: Array(entry, spec.axes, self._inventory.at(entry.path))
            for name, entry in self._inventory.children(folder)
            if entry.is_dataset and (spec := signal_spec(name)) is not None
        }

    # --- axes, tables and masks

    def axis(self, name: str) -> np.ndarray:
        """Ids of an axis (int64)."""
        return self._inventory.read(f"/{name}")

    @property
    def time(self) -> np.ndarray:
        """Start of each bin in s, (time,)."""
        return self._inventory.read("/time")

    @property
    def bin_width_s(self) -> float:
        """Width of a bin in s."""
        return self._inventory["/time"].attributes["bin_width"]

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
        return portable.read_dynamics(self._inventory, "/")

    def truth_dynamics(self) -> Dynamics | None:
        """The true vector field, its probe recomputed; None when there is none."""
        return portable.read_dynamics(self._inventory, "/truth/")

    def probe(self) -> Probe:
        """The writer's own proof of `dynamics`, to be carried into a derived file."""
        return portable.read_probe(self._inventory, "/")

    def truth_probe(self) -> Probe:
        """The writer's own proof of `truth_dynamics`."""
        return portable.read_probe(self._inventory, "/truth/")

    def readout(self) -> Readout | None:
        """The chain from state to rate; None when there is none."""
        return portable.read_readout(self._inventory, "/")

    def truth_readout(self) -> Readout | None:
        """The true chain from state to rate; None when there is none."""
        return portable.read_readout(self._inventory, "/truth/")

    # --- analysis

    @property
    def fixed_points(self) -> dict[str, Columns]:
        """Sets of points by name, as arrays whose first axis is the point; complex ones end in (re, im)."""
        sets = self._inventory.children("/fixed_points")
        return {name: Columns(self._inventory, group.path) for name, group in sets}

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
    """Arrays of one group, each read when it is first asked for.

    Attributes:
        attributes: Those of the group.
    """

    def __init__(self, inventory: Inventory, group: str):
        self.attributes = inventory[group].attributes if group in inventory else {}
        self._entries = {name: entry for name, entry in inventory.children(group) if entry.is_dataset}
        self._inventory = inventory
        self._loaded: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._loaded:
            self._loaded[name] = self._inventory.read(self._entries[name].path)
        # A copy: what a caller does to it must not change what the next one reads.
        return self._loaded[name].copy()

    def unit(self, name: str) -> str:
        """Unit of a column, empty for none."""
        return str(self._entries[name].attributes.get("unit", ""))

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Columns({', '.join(self)})"


def _warn(report: Report) -> None:
    unknown = [finding for finding in report.findings if finding.severity == WARNING]
    if unknown:
        listed = "; ".join(f"{at.path}: expected {at.expected}, got {at.got}" for at in unknown)
        warnings.warn(f"{len(unknown)} things to know: {listed}", ContractWarning, stacklevel=4)
