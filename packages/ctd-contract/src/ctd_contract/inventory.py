"""What lies in a file, taken before any array is read; whatever could harm the reader is refused here.

Refused: soft, external and cyclic links, storage outside the file or without checksums, foreign filters,
types that HDF5 reads through its heaps or that could run into references, and sizes that the
file can't hold.
"""

# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# h5py ships no types for its low-level modules.

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5o, h5s, h5t, h5z

from . import hdf5
from .errors import ContractError
from .report import Report
from .schema import NUMBER

SIGNATURE = b"\x89HDF\r\n\x1a\n"
CHECKSUMMED_SUPERBLOCK = 3
CHECKSUMMED_HEADER = 2
# The most that deflate can shrink; shuffle doesn't change sizes.
LARGEST_RATIO = 1032
LARGEST_DEPTH = 8
LARGEST_COUNT = 10_000
LARGEST_RANK = 8

_ALLOWED_FILTERS = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32}
_REWRITE = "write the file with ctd_contract"
_HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)


@dataclass(frozen=True)
class Entry:
    """One object of a file.

    Attributes:
        path: Absolute path in the file.
        attributes: Its attributes as plain values.
        dataset: The dataset; None for a group.
        scales: Whether it is a dimension scale, and whether it has scales attached.
    """

    path: str
    attributes: dict[str, Any]
    dataset: h5py.Dataset | None = None
    is_scale: bool = False
    has_scales: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape; () for a group."""
        return () if self.dataset is None else self.dataset.shape

    @property
    def dtype(self) -> np.dtype:
        """Storage type of a dataset."""
        if self.dataset is None:
            raise TypeError(f"{self.path} is a group")
        return self.dataset.dtype

    @property
    def is_dataset(self) -> bool:
        """Whether it is a dataset."""
        return self.dataset is not None


@dataclass
class Inventory:
    """All objects of a file that are safe to read, by path."""

    name: str
    entries: dict[str, Entry] = field(default_factory=dict)
    # Path of each axis to the addresses of the datasets that it is attached to, with the dimension.
    attached: dict[str, set[tuple[str, int]]] = field(default_factory=dict)

    def __contains__(self, path: str) -> bool:
        return path in self.entries

    def __getitem__(self, path: str) -> Entry:
        return self.entries[path]

    def at(self, path: str) -> str:
        """A place in this file as errors name it."""
        return f"{self.name}:{path}"

    def read(self, path: str) -> np.ndarray:
        """A whole array."""
        return read(self[path].dataset, ..., self.at(path))

    def children(self, path: str) -> Iterator[tuple[str, Entry]]:
        """Name and entry of what lies directly in a group."""
        prefix = path.rstrip("/") + "/"
        for key, entry in self.entries.items():
            name = key.removeprefix(prefix)
            if key.startswith(prefix) and name and "/" not in name:
                yield name, entry

    def dataset(self, path: str) -> Entry | None:
        """The dataset at `path`, or None."""
        entry = self.entries.get(path)
        return entry if entry is not None and entry.is_dataset else None


def open_file(path: Path) -> h5py.File:
    """Open for reading, once the first bytes say that everything in the file has a checksum."""
    if path.exists() and not path.is_file():
        # Opening a pipe would wait for its other end.
        raise ContractError("CTD101", str(path), "a file", "a folder or device", "check the path")
    try:
        with path.open("rb") as stream:
            start = stream.read(len(SIGNATURE) + 1)
    except OSError as error:
        got = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise ContractError("CTD101", str(path), "a contract file", got, "check the path") from error
    if not start.startswith(SIGNATURE) or len(start) <= len(SIGNATURE):
        got = "another kind of file" if start else "an empty file"
        raise ContractError("CTD101", str(path), "an HDF5 file", got, "check the path, or get the file again")
    if start[-1] != CHECKSUMMED_SUPERBLOCK:
        raise ContractError(
            "CTD102",
            str(path),
            "an HDF5 file in the format of 1.10 (superblock 3)",
            f"superblock {start[-1]}",
            "rewrite it with libver=('v110', 'v110'), or convert it: ctd-contract convert",
        )
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise damaged(str(path), error) from error


def damaged(where: str, error: Exception) -> ContractError:
    """An HDF5 error as a `ContractError`."""
    return ContractError(
        "CTD103", where, "a readable file", _reason(error), "get the file again or write it anew"
    )


def read(dataset: h5py.Dataset | None, key: Any, where: str) -> np.ndarray:
    """Slice a dataset; strings come decoded.

    Raises:
        ContractError: If it is damaged or the file is closed.
    """
    if not dataset:
        raise ContractError("CTD607", where, "an open file", "a closed one", "read inside the with block")
    try:
        values = dataset[key]
        return hdf5.decode(values) if dataset.dtype.kind == "S" else values
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        raise damaged(where, error) from error


def take(file: h5py.File, report: Report) -> Inventory:
    """Walk through all links; what isn't safe to read is reported and left out."""
    walk = _Walk(file, report)
    try:
        walk.group("/", file, 0)
    except _HDF5_ERRORS as error:
        walk.damaged("/", error)
    return walk.inventory


class _Walk:
    def __init__(self, file: h5py.File, report: Report):
        self.inventory = Inventory(report.file_name)
        self.report = report
        self.seen: dict[Any, str] = {}
        self.bytes_left = os.path.getsize(file.filename) * LARGEST_RATIO

    def group(self, path: str, group: h5py.Group, depth: int) -> None:
        attributes = self.attributes(path, group)
        self.inventory.entries[path] = Entry(path, attributes)
        self.seen[_address(group)] = path
        try:
            names = list(group)
        except _HDF5_ERRORS as error:
            return self.damaged(path, error)
        if depth > LARGEST_DEPTH or len(names) + len(self.seen) > LARGEST_COUNT:
            expected = f"at most {LARGEST_DEPTH} levels and {LARGEST_COUNT} objects"
            return self.report.error("CTD113", path, expected, "more", _REWRITE)
        for name in names:
            child = f"{path.rstrip('/')}/{name}"
            try:
                self.link(child, group, name, depth)
            except _HDF5_ERRORS as error:
                self.damaged(child, error)
        return None

    def link(self, path: str, group: h5py.Group, name: str, depth: int) -> None:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            return self.report.error("CTD109", path, "the object itself", type(link).__name__, _REWRITE)
        item = h5py.h5i.get_type(h5o.open(group.id, name.encode()))
        if item not in (h5py.h5i.GROUP, h5py.h5i.DATASET):
            return self.report.error("CTD112", path, "a group or dataset", "a named type", _REWRITE)
        found: Any = group[name]
        address = _address(found)
        if address in self.seen:
            return self.report.error("CTD109", path, "an object of its own", self.seen[address], _REWRITE)
        self.seen[address] = path
        if h5o.get_info(found.id).hdr.version != CHECKSUMMED_HEADER:
            return self.report.error("CTD102", path, "an object with a checksum", "the old format", _REWRITE)
        if item == h5py.h5i.GROUP:
            return self.group(path, found, depth + 1)
        return self.dataset(path, found)

    def dataset(self, path: str, dataset: h5py.Dataset) -> None:
        problem = _type_problem(dataset.id.get_type())
        if problem:
            return self.report.error(
                "CTD112", path, "a standard number or fixed-length string", problem, _REWRITE
            )
        if not self.storage(path, dataset):
            return None
        attributes = self.attributes(path, dataset)
        names = set(dataset.attrs)
        is_scale = ("CLASS" in names and "REFERENCE_LIST" in names) or h5py.h5ds.is_scale(dataset.id)
        self.inventory.entries[path] = Entry(
            path, attributes, dataset, is_scale=is_scale, has_scales="DIMENSION_LIST" in names
        )
        if is_scale and "REFERENCE_LIST" in names:
            self.inventory.attached[path] = self.references(dataset)
        return None

    def references(self, scale: h5py.Dataset) -> set[tuple[str, int]]:
        """What a scale says it is attached to: paths and dimensions.

        The scale's own list has a fixed size and a checksum; the list on the other side lies in a heap
        without one and is never read.
        """
        found = set()
        for reference, dimension in scale.attrs["REFERENCE_LIST"]:
            # A reference to something that was deleted attaches nothing.
            with contextlib.suppress(*_HDF5_ERRORS):
                found.add((str(scale.file[reference].name), int(dimension)))
        return found

    def storage(self, path: str, dataset: h5py.Dataset) -> bool:
        """Report what is wrong with how a dataset is stored; whether it may be read."""
        plan = dataset.id.get_create_plist()
        layout = plan.get_layout()
        filters = {plan.get_filter(index)[0] for index in range(plan.get_nfilters())}
        space = dataset.id.get_space()
        if layout != h5d.CHUNKED or plan.get_external_count():
            names = {h5d.VIRTUAL: "virtual", h5d.CONTIGUOUS: "contiguous", h5d.COMPACT: "compact"}
            got = "external" if plan.get_external_count() else names.get(layout, "another layout")
            self.report.error("CTD110", path, "chunks inside the file", got, _REWRITE)
        elif filters - _ALLOWED_FILTERS:
            got = ", ".join(str(number) for number in sorted(filters - _ALLOWED_FILTERS))
            self.report.error("CTD111", path, "no filter but gzip, shuffle and fletcher32", got, _REWRITE)
        elif h5z.FILTER_FLETCHER32 not in filters:
            self.report.error("CTD110", path, "a checksum (fletcher32)", "none", _REWRITE)
        elif space.get_simple_extent_type() != h5s.SIMPLE or not 1 <= len(dataset.shape) <= LARGEST_RANK:
            self.report.error("CTD113", path, f"1 to {LARGEST_RANK} axes", f"{len(dataset.shape)}", _REWRITE)
        else:
            return self.size(path, dataset, h5z.FILTER_DEFLATE in filters)
        return False

    def size(self, path: str, dataset: h5py.Dataset, compressed: bool) -> bool:
        chunks = dataset.chunks or (1,)
        count = math.prod(-(-size // chunk) for size, chunk in zip(dataset.shape, chunks, strict=True))
        chunk_bytes = math.prod(chunks) * dataset.dtype.itemsize
        self.bytes_left -= count * chunk_bytes * (1 if compressed else LARGEST_RATIO)
        if self.bytes_left < 0 or (count == 0 and chunk_bytes > 2**32):
            got = f"{dataset.shape} {dataset.dtype} in chunks {chunks}"
            self.report.error("CTD113", path, "arrays that this file can hold", got, _REWRITE)
            return False
        stored = dataset.id.get_num_chunks() if count else 0
        if stored != count:
            self.report.error(
                "CTD114", path, f"{count} chunks", f"{stored}", "get the file again or write it anew"
            )
            return False
        return True

    def attributes(self, path: str, item: h5py.Group | h5py.Dataset) -> dict[str, Any]:
        found = {}
        try:
            for index in range(h5a.get_num_attrs(item.id)):
                attribute = h5a.open(item.id, index=index)
                name = attribute.name.decode()
                if name in hdf5.MANAGED_ATTRIBUTES:
                    continue
                problem = _type_problem(attribute.get_type()) or _space_problem(attribute)
                if problem:
                    self.report.error(
                        "CTD115", f"{path}@{name}", "numbers or fixed-length strings", problem, _REWRITE
                    )
                else:
                    found[name] = hdf5.plain(item.attrs[name])
        except UnicodeDecodeError:
            self.report.error("CTD115", path, "attributes in UTF-8", "other bytes", _REWRITE)
        except _HDF5_ERRORS as error:
            self.damaged(path, error)
        return found

    def damaged(self, path: str, error: Exception) -> None:
        self.report.error(
            "CTD103", path, "a readable object", _reason(error), "get the file again or write it anew"
        )


def _address(item: h5py.Group | h5py.Dataset) -> int:
    return h5o.get_info(item.id).addr


def _reason(error: Exception) -> str:
    return " ".join(str(error).strip("'\"").split()) or type(error).__name__


def _type_problem(kind: h5t.TypeID) -> str:
    """Why a type can't be read, or an empty string."""
    if kind.committed():
        return "a named type"
    if isinstance(kind, h5t.TypeStringID):
        if kind.is_variable_str():
            return "a string of variable length"
        return "" if kind.get_cset() in (h5t.CSET_ASCII, h5t.CSET_UTF8) else "a string of unknown encoding"
    if not isinstance(kind, h5t.TypeIntegerID | h5t.TypeFloatID):
        return type(kind).__name__.removeprefix("Type").removesuffix("ID").lower()
    dtype = kind.dtype
    if dtype.str not in NUMBER or not kind.equal(h5t.py_create(dtype)):
        return f"{dtype.str} in a form of its own"
    return ""


def _space_problem(attribute: h5a.AttrID) -> str:
    space = attribute.get_space()
    if space.get_simple_extent_type() == h5s.NULL or len(attribute.shape) > 1:
        return "no scalar or list"
    size = math.prod(attribute.shape) * attribute.dtype.itemsize
    if size > 2 * hdf5.LARGEST_TEXT_BYTES:
        return f"{size} bytes"
    return ""
