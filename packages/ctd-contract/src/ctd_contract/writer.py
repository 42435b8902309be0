"""Writing contract files: whole arrays or blocks of trials, sealed by a digest, renamed atomically."""

from __future__ import annotations

import difflib
import functools
import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import h5py
import numpy as np

from . import digest, hdf5, portable, provenance, structure
from .atomic import AtomicFile, system_error, unwritable
from .casting import cast
from .errors import ContractError
from .inventory import take
from .provenance import Parent, Provenance
from .report import Report
from .schema import AXES, KINDS, NAME, SIGNALS, TABLES, TEXT, VERSION, SignalSpec, column_spec, signal_spec

if TYPE_CHECKING:
    from .dynamics import Dynamics, Probe
    from .readout import Readout

P = ParamSpec("P")
LONGEST_HEADER_BYTES = 2000
# Of the ids of contract files.
NAMESPACE = uuid.UUID("9d0f5c3e-5c0b-5e52-8a3f-0c1f6f6e2a11")


def create(
    path: str | os.PathLike[str],
    kind: str,
    *,
    name: str,
    producer: str,
    trial: int | Sequence[int] | np.ndarray | None = None,
    time: Sequence[float] | np.ndarray | None = None,
    bin_width_s: float | None = None,
    axes: Mapping[str, int | Sequence[int] | np.ndarray] | None = None,
    config: Mapping[str, Any] | None = None,
    seed: int | None = None,
    run: str | None = None,
    parents: Iterable[Parent] = (),
    title: str | None = None,
    license: str | None = None,  # noqa: A002  (the name of the attribute)
    doi: str | None = None,
    overwrite: bool = False,
) -> Writer:
    """Start a contract file; use it as a context manager.

    Everything goes to a temporary file beside `path`. Leaving the block seals it with its digest and
    renames it; leaving it with an exception removes it, and an older file under `path` stays as it was.

    Arguments:
        path: The file to write.
        kind: ``task``, ``recording``, ``inference`` or ``analysis``.
        name: Short name of the data or model.
        producer: Program and version, ``ctd-sim 0.1.0``.
        trial: Ids of the trials (int64, unique), or their number. Not needed for an analysis.
        time: Start of each bin in s; or the number of bins, given `bin_width_s`.
        bin_width_s: Width of a bin in s; by default the step of `time`.
        axes: Ids or sizes of further axes: ``{"neuron": 60, "input": [3, 5]}``. An axis that is not
            named here gets ids from 0 with the first array that runs along it.
        config: Fully resolved configuration, JSON-compatible.
        seed: Seed of the run.
        run: One id for all files of one run.
        parents: Files that this one is made from: ``[source.parent("recording")]``.
        title: One line for people.
        license: Licence of published data.
        doi: DOI of published data.
        overwrite: Replace an existing file.

    Raises:
        ContractError: If `path` exists and `overwrite` is false, or the axes are wrong.
    """
    writer = Writer(Path(path), kind, overwrite=overwrite)
    with writer.atomic.undone_on_error():
        writer.header = {"name": name, "title": title, "license": license, "doi": doi}
        writer.provenance = Provenance(
            created=provenance.now(),
            producer=producer,
            run=run or "",
            config=dict(config or {}),
            seed=seed,
            environment=provenance.environment(),
            parents=tuple(parents),
        )
        if trial is not None:
            writer.axis("trial", trial)
        if time is not None:
            writer.time(time, bin_width_s)
        for axis, ids in (axes or {}).items():
            writer.axis(axis, ids)
        missing = [a.name for a in AXES.values() if a.name in ("trial", "time") and kind in a.required]
        for axis in missing:
            if axis not in writer.sizes:
                raise writer.error("CTD201", f"/{axis}", f"{axis} for kind {kind}", "none", f"pass {axis}=")
    return writer


def _writes(method: Callable[Concatenate[Writer, P], None]) -> Callable[Concatenate[Writer, P], None]:
    """Turn a system's error, a full disk for example, into a `ContractError`."""

    @functools.wraps(method)
    def wrapper(self: Writer, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except (OSError, RuntimeError) as error:
            if system_error(error):
                raise unwritable(self.path, error) from error
            raise

    return wrapper


class Writer:
    """A contract file while it is being written; `create` makes one.

    Attributes:
        id: The file's UUID, drawn from its digest, so that a repeated run gives the same one; empty until
            it is closed.
        digest: Digest of its content; empty until it is closed.
        sizes: Size of each axis.
    """

    def __init__(self, path: Path, kind: str, *, overwrite: bool):
        if kind not in KINDS:
            raise ContractError(
                "CTD107", path.name, f"one of {', '.join(KINDS)}", repr(kind), "name the kind"
            )
        self.path = path
        self.kind = kind
        self.id = ""
        self.digest = ""
        self.sizes: dict[str, int] = {}
        self.header: dict[str, str | None] = {}
        self.provenance = Provenance("", "")
        # Handles stay open: HDF5 would write behind one that goes, where an error can't be raised.
        self._datasets: dict[str, h5py.Dataset] = {}
        self._hashes: dict[str, Any] = {}
        self._axes: dict[str, tuple[str | None, ...]] = {}
        self._rows: dict[str, int] = {}
        self.atomic = AtomicFile(path, overwrite=overwrite)
        self._file = self.atomic.file

    # --- axes and tables

    @_writes
    def axis(self, name: str, ids: int | Sequence[int] | np.ndarray) -> None:
        """Declare an axis by its ids (int64) or its size."""
        if name not in AXES:
            raise self._unknown("axis", name, AXES)
        if name in self.sizes:
            raise self.error("CTD602", f"/{name}", "one declaration of each axis", "a second", "drop it")
        values = np.arange(ids) if isinstance(ids, int | np.integer) else np.asarray(ids)
        values = cast(values, AXES[name].dtype, self.at(f"/{name}"))
        if values.ndim != 1:
            raise self.error(
                "CTD202", f"/{name}", "one dimension", f"{values.ndim}", "pass a flat list of ids"
            )
        if name != "time" and len(np.unique(values)) != len(values):
            raise self.error("CTD301", f"/{name}", "unique ids", "ids that repeat", "number them anew")
        self.sizes[name] = len(values)
        self._write(f"/{name}", values, (name,), {"unit": AXES[name].unit} if AXES[name].unit else {})

    @_writes
    def time(self, time: int | Sequence[float] | np.ndarray, bin_width_s: float | None = None) -> None:
        """Declare the time axis: the start of each bin in s (or their number) and the bin width in s."""
        number = isinstance(time, int | np.integer)
        if bin_width_s is None and (number or np.size(time) < 2):
            raise self.error("CTD212", "/time", "a bin width", "none", "pass bin_width_s=")
        starts = np.arange(time) * bin_width_s if number else np.asarray(time, dtype=np.float64)  # type: ignore[operator]
        width = float(np.median(np.diff(starts))) if bin_width_s is None else float(bin_width_s)
        self.axis("time", starts)
        hdf5.write_attribute(self._datasets["/time"], "bin_width", width)

    @_writes
    def column(self, table: str, name: str, values: Any, *, unit: str = "") -> None:
        """Write a column of a table.

        Arguments:
            table: ``trials``, ``times``, ``neurons``, ``states``, ``inputs``, ``metrics``, ...
            name: Name of the column.
            values: Numbers or strings, one for each entry of the table's axis.
            unit: Unit of free columns.
        """
        path = f"/{table}/{name}"
        spec = column_spec(table, name)
        if spec is None:
            raise self._unknown("table", table, TABLES)
        array = np.asarray(values)
        text = array.dtype.kind in "USO"
        if text and TEXT in spec.dtypes:
            array = hdf5.encode(array)
        elif text or (spec.dtypes[-1] == TEXT and len(spec.dtypes) == 1):
            raise self.error("CTD204", path, " or ".join(spec.dtypes), str(array.dtype), "convert it")
        elif len(spec.dtypes) == 1:
            array = cast(array, spec.dtypes[0], self.at(path))
        else:
            array = array.astype(np.uint8) if array.dtype == bool else array
        unit = spec.unit if spec.unit is not None else unit
        self._checked(path, array, (TABLES[table].name,), {"unit": unit} if unit else {})

    def names(self, axis: str, names: Sequence[str]) -> None:
        """Name the entries of an axis: ``names("input", ["bit 0", "bit 1"])``."""
        if axis not in AXES:
            raise self._unknown("axis", axis, AXES)
        self.column(AXES[axis].table, "name", list(names))

    @_writes
    def phase(self, name: str, bounds: Any) -> None:
        """Write a phase: (trial, 2) bins, start and stop, half-open; -1, -1 where a trial has none."""
        if not NAME.fullmatch(name):
            raise self.error("CTD208", f"/phases/{name}", "letters, digits and _", name, "rename it")
        array = cast(np.asarray(bounds), "<i4", self.at(f"/phases/{name}"))
        if array.ndim != 2 or array.shape[1] != 2:
            raise self.error(
                "CTD203", f"/phases/{name}", "(trial, 2)", str(array.shape), "pass start and stop"
            )
        self._checked(f"/phases/{name}", array, ("trial", None), {"unit": "bin"})

    # --- signals

    @_writes
    def signal(self, name: str, values: Any, *, unit: str | None = None) -> None:
        """Write a whole signal; its axes come from the contract, its unit too unless it is its own."""
        self._signal("/signals/", name, values, unit)

    @_writes
    def truth(self, name: str, values: Any, *, unit: str | None = None) -> None:
        """Write a whole array of the truth under ``/truth``."""
        self._signal("/truth/", name, values, unit)

    @_writes
    def append(self, blocks: Mapping[str, Any], *, units: Mapping[str, str] | None = None) -> None:
        """Append whole trials, in order, to several signals at once.

        Arguments:
            blocks: Name of the signal (``truth/rates`` addresses the truth) to its block (trial, ...).
                Blocks may have any number of trials; the first of a name fixes shape and type.
            units: Units of signals that have their own, needed only with the first block.
        """
        for name, block in blocks.items():
            folder, _, leaf = name.rpartition("/")
            root = "/truth/" if folder == "truth" else "/signals/"
            path, unit = root + leaf, (units or {}).get(name)
            if path not in self._rows and path in self._hashes:
                raise self.error("CTD602", path, "one way of writing it", "a second", "append it or write it")
            spec, array = self._prepare(root, leaf, block, self.sizes.get("trial", 0), path)
            if path not in self._rows:
                self._start(path, array.shape, array.dtype, spec.axes, self._unit(spec, unit), spec.counts)
                self._rows[path] = 0
            self._extend(path, array)

    # --- dynamics

    def dynamics(self, dynamics: Dynamics, probe: Probe | None = None) -> None:
        """Write the vector field under ``/dynamics`` with the writer's own probe (none for `Opaque`)."""
        portable.write_dynamics(self, "/", dynamics, probe)

    def truth_dynamics(self, dynamics: Dynamics, probe: Probe | None = None) -> None:
        """Write the true vector field under ``/truth/dynamics``."""
        portable.write_dynamics(self, "/truth/", dynamics, probe)

    def readout(self, readout: Readout) -> None:
        """Write the chain from state to rate under ``/readout``."""
        portable.write_readout(self, "/", readout)

    def truth_readout(self, readout: Readout) -> None:
        """Write the true chain from state to rate under ``/truth/readout``."""
        portable.write_readout(self, "/truth/", readout)

    # --- analysis

    def metrics(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write the tidy table: dataset, model, seed, split, metric, definition, value, low, high."""
        for name, values in columns.items():
            self.column("metrics", name, values)

    @_writes
    def fixed_points(self, name: str, arrays: Mapping[str, Any], *, source: str = "") -> None:
        """Write one set of points under ``/fixed_points/<name>``.

        Arguments:
            name: Name of the set, of letters, digits and _.
            arrays: ``state`` (point, state), ``input`` (point, input), ``mode`` (point,), ``speed``
                (point,), ``jacobian`` (point, state, state), ``eigenvalues`` (point, state) complex,
                ``stable`` (point,) and any further numbers per point. Complex arrays get a last
                axis (re, im).
            source: Id of the file whose dynamics they belong to.
        """
        if not NAME.fullmatch(name):
            raise self.error("CTD208", f"/fixed_points/{name}", "letters, digits and _", name, "rename it")
        group = self._file.require_group(f"/fixed_points/{name}")
        hdf5.write_attribute(group, "source", source)
        for key, values in arrays.items():
            array = np.asarray(values)
            if np.iscomplexobj(array):
                array = np.stack([np.real(array), np.imag(array)], axis=-1)
            elif array.dtype == bool:
                array = array.astype(np.uint8)
            path = f"/fixed_points/{name}/{key}"
            if array.ndim == 0 or array.dtype.kind not in "iuf":
                raise self.error("CTD204", path, "numbers (point, ...)", str(array.dtype), "convert it")
            self._write(path, array, (None,) * array.ndim, {})

    # --- closing

    def close(self) -> None:
        """Seal the file and put it under its name; a closed file stays as it is."""
        if not self._file:
            return
        with self.atomic.undone_on_error():
            for path, rows in self._rows.items():
                if rows != self.sizes["trial"]:
                    expected = f"{self.sizes['trial']} trials, as /trial lists"
                    raise self.error("CTD602", path, expected, f"{rows}", "append every trial")
            self._finish()
            self.atomic.commit()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: object) -> None:
        if error is None:
            self.close()
        else:
            self.atomic.discard()

    def error(self, code: str, path: str, expected: str, got: str, fix: str) -> ContractError:
        """A `ContractError` at a place in this file."""
        return ContractError(code, self.at(path), expected, got, fix)

    def at(self, path: str) -> str:
        """A place in this file as errors name it."""
        return f"{self.path.name}:{path}"

    # --- inner parts

    def _unknown(self, what: str, name: str, known: Iterable[str]) -> ContractError:
        near = difflib.get_close_matches(name, list(known), 1)
        fix = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        return ContractError("CTD208", self.path.name, f"the name of an existing {what}", repr(name), fix)

    def _unit(self, spec: SignalSpec, unit: str | None) -> dict[str, Any]:
        return {"unit": spec.unit if spec.unit is not None else unit or "1"}

    def _prepare(self, root: str, name: str, values: Any, limit: int, path: str):
        """The specification of a signal and its values in the storage type."""
        spec = signal_spec(name)
        allowed = spec is not None and (spec.truth if root == "/truth/" else self.kind in spec.kinds)
        if spec is None:
            raise self._unknown("signal", name, SIGNALS)
        if not allowed:
            where = f"{root.strip('/')} of kind {self.kind}"
            raise self.error("CTD207", path, f"a signal that {where} may hold", name, "leave it out")
        array = np.asarray(values)
        dtype = spec.dtypes[0] if array.dtype == np.dtype(spec.dtypes[0]) else spec.dtypes[-1]
        array = cast(array, dtype, self.at(path))
        self._fit(path, array.shape, spec.axes, limit)
        return spec, array

    def _fit(self, path: str, shape: tuple[int, ...], axes: Sequence[str | None], limit: int | None) -> None:
        """Check a shape against the axes; axes not yet declared get ids from 0.

        `limit` is how many trials a block may have; None for a whole array.
        """
        if len(shape) == len(axes):
            for axis, size in zip(axes, shape, strict=True):
                if axis is not None and axis not in self.sizes and axis not in ("trial", "time"):
                    self.axis(axis, size)
        fits = len(shape) == len(axes) and all(
            axis is None
            or self.sizes.get(axis) == size
            or (limit is not None and axis == "trial" and size <= limit)
            for axis, size in zip(axes, shape, strict=True)
        )
        if not fits:
            expected = ", ".join(f"{a}={self.sizes.get(a, '?')}" for a in axes if a)
            raise self.error(
                "CTD203", path, f"axes ({expected})", str(shape), "reshape the array or mend the axis"
            )

    def _signal(self, root: str, name: str, values: Any, unit: str | None) -> None:
        path = root + name
        if path in self._hashes:
            raise self.error("CTD602", path, "one way of writing it", "a second", "write it once")
        spec, array = self._prepare(root, name, values, self.sizes.get("trial", 0), path)
        self._fit(path, array.shape, spec.axes, None)
        self._write(path, array, spec.axes, self._unit(spec, unit), gzip=spec.counts)

    def _checked(self, path: str, array: np.ndarray, axes: Sequence[str | None], attributes: dict) -> None:
        self._fit(path, array.shape, axes, None)
        self._write(path, array, axes, attributes)

    def _write(
        self,
        path: str,
        array: np.ndarray,
        axes: Sequence[str | None],
        attributes: dict,
        *,
        gzip: bool = False,
    ) -> None:
        if path in self._hashes:
            raise self.error("CTD602", path, "one way of writing it", "a second", "write it once")
        array = np.ascontiguousarray(array)
        self._start(path, array.shape, array.dtype, axes, attributes, gzip)
        if array.size:
            self._datasets[path][...] = array
        self._hashes[path].update(array.data if array.size else b"")

    def _start(
        self, path: str, shape, dtype, axes: Sequence[str | None], attributes: dict, gzip: bool
    ) -> None:
        if axes and axes[0] == "trial":
            shape = (self.sizes["trial"], *shape[1:])
        dataset = hdf5.create_dataset(self._file, path, shape, dtype, gzip=gzip)
        for name, value in attributes.items():
            hdf5.write_attribute(dataset, name, value)
        self._datasets[path] = dataset
        self._hashes[path] = hashlib.sha256()
        self._axes[path] = tuple(axes)

    def _extend(self, path: str, array: np.ndarray) -> None:
        dataset, start = self._datasets[path], self._rows[path]
        stop = start + len(array)
        if dataset.shape[1:] != array.shape[1:] or stop > len(dataset) or dataset.dtype != array.dtype:
            expected = f"at most {len(dataset) - start} more trials of {dataset.dtype}{dataset.shape[1:]}"
            raise self.error(
                "CTD602", path, expected, f"{array.dtype}{array.shape}", "keep to the first block"
            )
        if array.size:
            array = np.ascontiguousarray(array)
            dataset[start:stop] = array
            self._hashes[path].update(array.data)
        self._rows[path] = stop

    @_writes
    def group(self, path: str, attributes: Mapping[str, Any]) -> None:
        """Create a group that `portable` asks for."""
        portable.write_attributes(self._file.require_group(path), attributes)

    @_writes
    def array(self, path: str, values: np.ndarray) -> None:
        """Write an array without scales that `portable` asks for."""
        self._write(path, values, (None,) * values.ndim, {})

    def _finish(self) -> None:
        for axis in self.sizes:
            self._datasets[f"/{axis}"].make_scale(axis)
        for path, axes in self._axes.items():
            if path.strip("/") in self.sizes:
                continue
            for index, axis in enumerate(axes):
                if axis is not None:
                    self._datasets[path].dims[index].attach_scale(self._datasets[f"/{axis}"])
        provenance.write(self._file, self.provenance)
        root = {"ctd_contract": ".".join(map(str, VERSION)), "ctd_kind": self.kind}
        for name, value in {**root, **self.header}.items():
            # HDF5 keeps a longer one where no checksum covers it.
            if value is not None and len(value.encode()) > LONGEST_HEADER_BYTES:
                expected = f"at most {LONGEST_HEADER_BYTES} bytes"
                raise self.error("CTD108", f"/@{name}", expected, f"{len(value.encode())}", "shorten it")
        portable.write_attributes(self._file, {**root, **self.header})
        self.digest = digest.seal(self._lines())
        self.id = str(uuid.uuid5(NAMESPACE, self.digest))
        hdf5.write_attribute(self._file, "ctd_digest", self.digest)
        hdf5.write_attribute(self._file, "ctd_id", self.id)
        self._file.flush()
        hdf5.write_attribute(self._file, "ctd_complete", np.int64(1))
        for dataset in self._datasets.values():
            dataset.flush()
        self._file.flush()

    def _lines(self) -> Iterator[str]:
        """The digest's lines; a file that a reader would refuse is refused here."""
        self._file.flush()
        report = Report(self.path.name)
        inventory = take(self._file, report)
        structure.check_body(inventory, report)
        report.raise_first()
        for path, entry in inventory.entries.items():
            if not digest.is_sealed(path):
                continue
            if entry.is_dataset:
                content = self._hashes[path].hexdigest()
                yield digest.line(path, entry.dtype.str, entry.shape, content, entry.attributes)
            else:
                yield digest.line(path, "", (), "", entry.attributes)
