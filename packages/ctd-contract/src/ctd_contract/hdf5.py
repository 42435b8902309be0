"""How the contract's objects are laid out in HDF5: one place for every creation property."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

LIBVER = ("v110", "v110")
CHUNK_BYTES = 256 * 1024
LARGEST_CHUNK_BYTES = 4 * 1024 * 1024
LARGEST_TEXT_BYTES = 60_000

# Attributes that HDF5's dimension scales keep for themselves: they hold file addresses.
MANAGED_ATTRIBUTES = frozenset({"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "DIMENSION_LABELS"})


def text_dtype(length: int) -> np.dtype:
    """Fixed-length UTF-8 string type of `length` bytes."""
    return h5py.string_dtype("utf-8", max(1, length))


def encode(values: Any) -> np.ndarray:
    """Strings of any shape as a fixed-length UTF-8 array."""
    array = np.asarray(values)
    encoded = [str(value).encode() for value in array.ravel().tolist()]
    if any(b"\0" in value for value in encoded):
        raise ValueError("a string holds a NUL character")
    dtype = text_dtype(max(map(len, encoded), default=1))
    return np.array(encoded, dtype=dtype).reshape(array.shape)


def decode(array: np.ndarray) -> np.ndarray:
    """Fixed-length UTF-8 array as NumPy strings."""
    return np.char.decode(array, "utf-8") if array.size else array.astype("U1")


def chunk_shape(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Whole rows of the first axis, near 256 KiB; a row above 4 MiB is cut along its second axis."""
    chunk = [max(1, size) for size in shape]
    row = itemsize * int(np.prod(chunk[1:], dtype=np.int64))
    chunk[0] = min(chunk[0], max(1, CHUNK_BYTES // row))
    for axis in range(1, len(chunk)):
        if row <= LARGEST_CHUNK_BYTES:
            break
        rest = row // chunk[axis]
        chunk[axis] = min(chunk[axis], max(1, CHUNK_BYTES // rest))
        row = rest * chunk[axis]
    return tuple(chunk)


def create_dataset(
    parent: h5py.Group, path: str, shape: tuple[int, ...], dtype: np.dtype, *, gzip: bool = False
) -> h5py.Dataset:
    """Empty dataset with the contract's properties: chunked, fletcher32, gzip and shuffle if asked.

    Level 0 of gzip stores values as they are, with a header and a checksum: a chunk that was lost and reads
    as zeros would pass fletcher32 alone, whose checksum of zeros is zero.
    """
    return parent.create_dataset(
        path,
        shape=shape,
        dtype=dtype,
        # HDF5 refuses a chunk larger than a fixed axis, so an empty axis is left extensible.
        maxshape=tuple(size or None for size in shape),
        chunks=chunk_shape(shape, dtype.itemsize),
        fletcher32=True,
        compression="gzip",
        compression_opts=1 if gzip else 0,
        shuffle=gzip,
    )


def write_attribute(target: h5py.Group | h5py.Dataset, name: str, value: Any) -> None:
    """Store a number, a string or a list of either as an attribute; strings are fixed-length UTF-8."""
    array = np.asarray(value)
    if array.dtype.kind in "US" or (array.size == 0 and array.dtype.kind in "Of"):
        array = encode(array if array.size else np.zeros(array.shape, "S1"))
    elif array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.dtype.kind not in "Siuf":
        raise TypeError(f"attribute {name} is neither numbers nor strings: {value!r}")
    if array.nbytes > LARGEST_TEXT_BYTES:
        raise ValueError(f"attribute {name} has {array.nbytes} bytes, at most {LARGEST_TEXT_BYTES} fit")
    target.attrs.create(name, array, dtype=array.dtype)


def plain(value: Any) -> Any:
    """An attribute's value as str, int, float or a list of them."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray) and value.dtype.kind == "S":
        return decode(value).tolist()
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def read_attributes(target: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """Every attribute of an object as plain Python values, without those of dimension scales."""
    return {name: plain(target.attrs[name]) for name in target.attrs if name not in MANAGED_ATTRIBUTES}
