"""Writing contract files: whole arrays or blocks of trials, sealed by a digest, renamed atomically."""

from __future__ import annotations

import contextlib
import difflib
import errno
import hashlib
import os
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from . import digest, hdf5, provenance
from .casting import cast
from .errors import ContractError
from .provenance import Parent, Provenance
from .schema import AXES, KINDS, NAME, SIGNALS, TABLES, TEXT, VERSION, SignalSpec, column_spec, signal_spec

if TYPE_CHECKING:
    from .dynamics import Dynamics, Probe
    from .readout import Readout


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
        title, license, doi: For published data.
        overwrite: Replace an existing file.

    Raises:
        ContractError: If `path` exists and `overwrite` is false, or the axes are wrong.
    """
    writer = Writer(Path(path), kind, overwrite=overwrite)
    with writer.undone_on_error():
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


class Writer:
    """A contract file while it is being written; `create` makes one.

    Attributes:
        id: The file's UUID.
        digest: Digest of its content; empty until it is closed.
        sizes: Size of each axis.
    """

    def __init__(self, path: Path, kind: str, *, overwrite: bool):
        if kind not in KINDS:
            raise ContractError(
                "CTD107", path.name, f"one of {', '.join(KINDS)}", repr(kind), "name the kind"
            )
        if path.exists() and not overwrite:
            raise _exists(path)
        self.path = path
        self.kind = kind
        self.id = str(uuid.uuid4())
        self.digest = ""
        self.sizes: dict[str, int] = {}
        self.header: dict[str, str | None] = {}
        self.provenance = Provenance("", "")
        self._overwrite = overwrite
        self._hashes: dict[str, Any] = {}
        self._axes: dict[str, tuple[str | None, ...]] = {}
        self._rows: dict[str, int] = {}
        self._temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
        try:
            self._file = h5py.File(self._temporary, "w-", libver=hdf5.LIBVER, locking=False)
        except OSError as error:
            raise self._unwritable(error) from error

    # --- axes and tables

    def axis(self, name: str, ids: int | Sequence[int] | np.ndarray) -> None:
        """Declare an axis by its ids (int64) or its size."""
        if name not in AXES:
            raise self._unknown("axis", name, AXES)
        if name in self.sizes:
            raise self.error("CTD602", f"/{name}", "one declaration of each axis", "a second", "drop it")
        values = np.arange(ids) if isinstance(ids, int | np.integer) else np.asarray(ids)
        values = cast(values, AXES[name].dtype, self._at(f"/{name}"))
        if values.ndim != 1:
            raise self.error(
                "CTD202", f"/{name}", "one dimension", f"{values.ndim}", "pass a flat list of ids"
            )
        if name != "time" and len(np.unique(values)) != len(values):
            raise self.error("CTD301", f"/{name}", "unique ids", "ids that repeat", "number them anew")
        self.sizes[name] = len(values)
        self._write(f"/{name}", values, (name,), {"unit": AXES[name].unit} if AXES[name].unit else {})

    def time(self, time: int | Sequence[float] | np.ndarray, bin_width_s: float | None = None) -> None:
        """Declare the time axis: the start of each bin in s (or the number of bins) and the bin width in s."""
        number = isinstance(time, int | np.integer)
        if bin_width_s is None and (number or np.size(time) < 2):
            raise self.error("CTD212", "/time", "a bin width", "none", "pass bin_width_s=")
        starts = np.arange(time) * bin_width_s if number else np.asarray(time, dtype=np.float64)  # type: ignore[operator]
        width = float(np.median(np.diff(starts))) if bin_width_s is None else float(bin_width_s)
        self.axis("time", starts)
        hdf5.write_attribute(self._dataset("/time"), "bin_width", width)

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
            array = cast(array, spec.dtypes[0], self._at(path))
        else:
            array = array.astype(np.uint8) if array.dtype == bool else array
        unit = spec.unit if spec.unit is not None else unit
        self._checked(path, array, (TABLES[table].name,), {"unit": unit} if unit else {})

    def names(self, axis: str, names: Sequence[str]) -> None:
        """Name the entries of an axis: ``names("input", ["bit 0", "bit 1"])``."""
        if axis not in AXES:
            raise self._unknown("axis", axis, AXES)
        self.column(AXES[axis].table, "name", list(names))

    def phase(self, name: str, bounds: Any) -> None:
        """Write a phase: (trial, 2) bins, start and stop, half-open; -1, -1 where a trial has none."""
        if not NAME.fullmatch(name):
            raise self.error("CTD208", f"/phases/{name}", "letters, digits and _", name, "rename it")
        array = cast(np.asarray(bounds), "<i4", self._at(f"/phases/{name}"))
        if array.ndim != 2 or array.shape[1] != 2:
            raise self.error(
                "CTD203", f"/phases/{name}", "(trial, 2)", str(array.shape), "pass start and stop"
            )
        self._checked(f"/phases/{name}", array, ("trial", None), {"unit": "bin"})

    # --- signals

    def signal(self, name: str, values: Any, *, unit: str | None = None) -> None:
        """Write a whole signal; its axes come from the contract, its unit too unless it is its own."""
        self._signal("/signals/", name, values, unit)

    def truth(self, name: str, values: Any, *, unit: str | None = None) -> None:
        """Write a whole array of the truth under ``/truth``."""
        self._signal("/truth/", name, values, unit)

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
            spec, array = self._prepare(root, leaf, block, self.sizes["trial"], path)
            if path not in self._rows:
                self._start(path, array.shape, array.dtype, spec.axes, self._unit(spec, unit), spec.counts)
                self._rows[path] = 0
            self._extend(path, array)

    # --- dynamics

    def dynamics(self, dynamics: Dynamics, probe: Probe | None = None) -> None:
        """Write the vector field under ``/dynamics`` with the writer's own probe (none for `Opaque`)."""
        self._dynamics("/dynamics", dynamics, probe)

    def truth_dynamics(self, dynamics: Dynamics, probe: Probe | None = None) -> None:
        """Write the true vector field under ``/truth/dynamics``."""
        self._dynamics("/truth/dynamics", dynamics, probe)

    def readout(self, readout: Readout) -> None:
        """Write the chain from state to rate under ``/readout``."""
        self._readout("/readout", readout)

    def truth_readout(self, readout: Readout) -> None:
        """Write the true chain from state to rate under ``/truth/readout``."""
        self._readout("/truth/readout", readout)

    # --- analysis

    def metrics(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write the tidy table of metrics: dataset, model, seed, split, metric, definition, value, low, high."""
        for name, values in columns.items():
            self.column("metrics", name, values)

    def fixed_points(self, name: str, arrays: Mapping[str, Any], *, source: str = "") -> None:
        """Write one set of points under ``/fixed_points/<name>``.

        Arguments:
            name: Name of the set, of letters, digits and _.
            arrays: ``state`` (point, state), ``input`` (point, input), ``mode`` (point,), ``speed`` (point,),
                ``jacobian`` (point, state, state), ``eigenvalues`` (point, state) complex, ``stable`` (point,)
                and any further numbers per point. Complex arrays get a last axis (re, im).
            source: Id of the file whose dynamics they belong to.
        """
        if not NAME.fullmatch(name):
            raise self.error("CTD208", f"/fixed_points/{name}", "letters, digits and _", name, "rename it")
        group = self._file.require_group(f"/fixed_points/{name}")
        hdf5.write_attribute(group, "source", source)
        for key, values in arrays.items():
            array = np.asarray(values)
            if np.iscomplexobj(array):
                array = np.stack([array.real, array.imag], axis=-1)
            elif array.dtype == bool:
                array = array.astype(np.uint8)
            path = f"/fixed_points/{name}/{key}"
            if array.ndim == 0 or array.dtype.kind not in "iuf":
                raise self.error("CTD204", path, "numbers (point, ...)", str(array.dtype), "convert it")
            self._write(path, array, (None,) * array.ndim, {})

    # --- closing

    def close(self) -> None:
        """Seal the file and put it under its name."""
        with self.undone_on_error():
            for path, rows in self._rows.items():
                if rows != self.sizes["trial"]:
                    expected = f"{self.sizes['trial']} trials, as /trial lists"
                    raise self.error("CTD602", path, expected, f"{rows}", "append every trial")
            self._finish()
            self._file.close()
            _sync(self._temporary)
            self._rename()
            _sync(self.path.parent)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: object) -> None:
        if error is None:
            self.close()
            return
        self._discard()
        if isinstance(error, OSError) or _errno(error):
            raise self._unwritable(error) from error

    @contextlib.contextmanager
    def undone_on_error(self):
        """Remove the temporary file when the body raises; an OSError becomes a ContractError."""
        try:
            yield
        except BaseException as error:
            self._discard()
            if isinstance(error, OSError) or _errno(error):
                raise self._unwritable(error) from error
            raise

    def error(self, code: str, path: str, expected: str, got: str, fix: str) -> ContractError:
        """A `ContractError` at a place in this file."""
        return ContractError(code, self._at(path), expected, got, fix)

    # --- inner parts

    def _at(self, path: str) -> str:
        return f"{self.path.name}:{path}"

    def _dataset(self, path: str) -> h5py.Dataset:
        found = self._file[path]
        if not isinstance(found, h5py.Dataset):
            raise TypeError(f"{path} is no dataset")
        return found

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
        array = cast(array, dtype, self._at(path))
        self._fit(path, array.shape, spec.axes, limit)
        return spec, array

    def _fit(self, path: str, shape: tuple[int, ...], axes: Sequence[str | None], limit: int | None) -> None:
        """Check a shape against the axes; axes not yet declared get ids from 0. `limit`: at most so many trials."""
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
            dataset = self._dataset(path)
            dataset[...] = array
            dataset.flush()
        self._hashes[path].update(array.data if array.size else b"")

    def _start(
        self, path: str, shape, dtype, axes: Sequence[str | None], attributes: dict, gzip: bool
    ) -> None:
        if axes and axes[0] == "trial":
            shape = (self.sizes["trial"], *shape[1:])
        dataset = hdf5.create_dataset(self._file, path, shape, dtype, gzip=gzip)
        for name, value in attributes.items():
            hdf5.write_attribute(dataset, name, value)
        self._hashes[path] = hashlib.sha256()
        self._axes[path] = tuple(axes)

    def _extend(self, path: str, array: np.ndarray) -> None:
        dataset, start = self._dataset(path), self._rows[path]
        stop = start + len(array)
        if dataset.shape[1:] != array.shape[1:] or stop > len(dataset) or dataset.dtype != array.dtype:
            expected = f"at most {len(dataset) - start} more trials of {dataset.dtype}{dataset.shape[1:]}"
            raise self.error(
                "CTD602", path, expected, f"{array.dtype}{array.shape}", "keep to the first block"
            )
        if array.size:
            array = np.ascontiguousarray(array)
            dataset[start:stop] = array
            # Otherwise HDF5 would write when the handle goes, where an error can't be raised.
            dataset.flush()
            self._hashes[path].update(array.data)
        self._rows[path] = stop

    def _dynamics(self, path: str, dynamics: Dynamics, probe: Probe | None) -> None:
        group = self._file.create_group(path)
        hdf5.write_attribute(group, "kind", dynamics.kind)
        for name, value in dynamics.attributes.items():
            hdf5.write_attribute(group, name, value)
        self._parameters(f"{path}/parameters", dynamics.parameters)
        if probe is not None:
            arrays = {"state": probe.state, "input": probe.input, "next_state": probe.next_state}
            self._parameters(f"{path}/probe", {k: v for k, v in arrays.items() if v is not None})
            if probe.mode is not None:
                self._write(f"{path}/probe/mode", cast(np.asarray(probe.mode), "<i4", path), (None,), {})

    def _readout(self, path: str, readout: Readout) -> None:
        group = self._file.create_group(path)
        hdf5.write_attribute(group, "kind", "opaque" if readout.is_opaque else "chain")
        if readout.is_opaque:
            return
        hdf5.write_attribute(group, "scale", float(readout.scale))
        for index, layer in enumerate(readout.layers):
            self._parameters(f"{path}/layer_{index}", {"weight": layer.weight, "bias": layer.bias})
            hdf5.write_attribute(self._file[f"{path}/layer_{index}"], "nonlinearity", layer.nonlinearity)

    def _parameters(self, path: str, arrays: Mapping[str, Any]) -> None:
        self._file.create_group(path)
        for name, values in arrays.items():
            array = cast(np.asarray(values), "<f8", self._at(f"{path}/{name}"))
            if array.ndim == 0:
                raise self.error("CTD402", f"{path}/{name}", "an array", "a scalar", "make it an attribute")
            self._write(f"{path}/{name}", array, (None,) * array.ndim, {})

    def _finish(self) -> None:
        for axis in self.sizes:
            self._dataset(f"/{axis}").make_scale(axis)
        for path, axes in self._axes.items():
            if path.strip("/") in self.sizes:
                continue
            for index, axis in enumerate(axes):
                if axis is not None:
                    self._dataset(path).dims[index].attach_scale(self._dataset(f"/{axis}"))
        provenance.write(self._file, self.provenance)
        root = {"ctd_contract": ".".join(map(str, VERSION)), "ctd_kind": self.kind, "ctd_id": self.id}
        for name, value in {**root, **self.header}.items():
            if value is not None:
                hdf5.write_attribute(self._file, name, value)
        self.digest = digest.seal(self._lines())
        hdf5.write_attribute(self._file, "ctd_digest", self.digest)
        self._file.flush()
        hdf5.write_attribute(self._file, "ctd_complete", np.int64(1))

    def _lines(self) -> list[str]:
        lines = [digest.line("/", "", (), "", hdf5.read_attributes(self._file))]

        def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
            path = "/" + name
            if not digest.is_sealed(path):
                return
            attributes = hdf5.read_attributes(item)
            if isinstance(item, h5py.Dataset):
                content = self._hashes[path].hexdigest()
                lines.append(digest.line(path, item.dtype.str, item.shape, content, attributes))
            else:
                lines.append(digest.line(path, "", (), "", attributes))

        self._file.visititems(visit)
        return lines

    def _rename(self) -> None:
        if self._overwrite:
            os.replace(self._temporary, self.path)
            return
        try:
            # A link fails where a rename would silently replace what another process just put there.
            os.link(self._temporary, self.path)
        except FileExistsError as error:
            raise _exists(self.path) from error
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            os.replace(self._temporary, self.path)
        else:
            self._temporary.unlink()

    def _discard(self) -> None:
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            # Closing writes what HDF5 still holds; on a full disk that fails and takes the process with it.
            sink = os.open(os.devnull, os.O_RDWR)
            os.dup2(sink, self._file.id.get_vfd_handle())
            os.close(sink)
        with contextlib.suppress(OSError, RuntimeError):
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _unwritable(self, error: BaseException) -> ContractError:
        number = _errno(error)
        got = os.strerror(number) if number else str(error)
        fix = "free some space and run it again" if number == errno.ENOSPC else "mend this and run it again"
        return ContractError("CTD601", str(self.path), "a file that can be written", got, fix)


def _errno(error: BaseException) -> int:
    """The system's number of an error; h5py puts it in the text of errors of all kinds. 0 if there is none."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = re.search(r"errno = (\d+)", str(error)) if isinstance(error, (OSError, RuntimeError)) else None
    return int(found[1]) if found else 0


def _exists(path: Path) -> ContractError:
    return ContractError(
        "CTD603", str(path), "a name that is free", "an existing file", "pass overwrite or take another name"
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
