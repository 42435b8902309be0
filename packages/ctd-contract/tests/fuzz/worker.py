"""Fuzz a range of files in a process of its own: ``worker.py FOLDER SEED START STOP [FILE]``.

Golden files are broken in all ways; of a FILE, each byte is flipped in turn.
Prints one line before and one after each file, so that the parent knows which file ended the process.
"""

from __future__ import annotations

import hashlib
import resource
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import ctd_contract as cc
from ctd_contract import hdf5
from ctd_contract.testing import golden_path

KINDS = ("task", "recording", "inference", "analysis")
SECONDS_PER_FILE = 20
MEMORY_BYTES = 4 * 2**30


def content(path: Path) -> dict[str, Any]:
    """Everything that a reader gets from a file."""
    with cc.open(path) as file:
        found: dict[str, Any] = {
            "header": (file.kind, file.id, file.digest, file.name, file.attributes, file.sizes),
            "provenance": repr(file.provenance),
        }
        groups = {"signals": file.signals, "truth": file.truth, "phases": file.phases}
        groups |= file.tables | {f"points {name}": arrays for name, arrays in file.fixed_points.items()}
        for group, arrays in groups.items():
            for name in arrays:
                values = np.asarray(arrays[name][...])
                found[f"{group}/{name}"] = (values.shape, values.dtype.str, _hash(values))
        for axis in file.sizes:
            found[f"axis {axis}"] = _hash(file.axis(axis))
        for name in ("dynamics", "truth_dynamics", "readout", "truth_readout"):
            found[name] = _portable(getattr(file, name)())
        return found


def _hash(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def _portable(item: Any) -> Any:
    if item is None or getattr(item, "kind", "") == "opaque":
        return repr(item)
    arrays = item.parameters.values() if hasattr(item, "parameters") else [x.weight for x in item.layers]
    return repr(item), [_hash(values) for values in arrays]


def damage(data: bytes, index: int, random: np.random.Generator) -> bytes:
    """Bytes with one sort of damage; a third of the files flip one byte."""
    broken = bytearray(data)
    size = len(data)
    at, length = int(random.integers(size)), int(random.integers(1, 200))
    match index % 9:
        case 0 | 1 | 2:
            broken[(index * 7919) % size] ^= int(random.choice([1, 128, 255]))
        case 3:
            broken[at] = int(random.integers(256))
        case 4:
            for position in random.integers(size, size=random.integers(2, 9)):
                broken[position] ^= 1 << int(random.integers(8))
        case 5:
            del broken[at:]
        case 6:
            broken[at : at + length] = bytes(len(broken[at : at + length]))
        case 7:
            other = int(random.integers(size))
            broken[at : at + length] = data[other : other + len(broken[at : at + length])]
        case _:
            broken[at:at] = random.bytes(length)
    return bytes(broken)


def edit(path: Path, random: np.random.Generator) -> None:
    """Put something sound but wrong at a random place, as a careless writer would."""
    with h5py.File(path, "r+", libver=hdf5.LIBVER) as file:
        names: list[str] = []
        file.visit(names.append)
        name = str(random.choice(names))
        item: Any = file[name]
        choice = int(random.integers(6))
        if choice < 2:
            value = random.choice([0, -1, 2**40, 7])
            values: list[Any] = [int(value), float("nan"), "text", [1, 2], [], ["a", "b"]]
            key = str(random.choice([*hdf5.read_attributes(item), "new"]))
            hdf5.write_attribute(item, key, values[int(random.integers(len(values)))])
        elif choice == 2:
            del file[name]
        elif choice == 3 and hdf5.read_attributes(item):
            del item.attrs[str(random.choice(list(hdf5.read_attributes(item))))]
        else:
            del file[name]
            shape = tuple(int(n) for n in random.integers(0, 5, size=random.integers(1, 4)))
            dtype = np.dtype(str(random.choice(["u1", "i4", "i8", "f4", "f8", "S3"])))
            values_now = random.integers(-5, 300, size=shape).astype(dtype)
            hdf5.create_dataset(file, name, shape, values_now.dtype)[...] = values_now


def attempt(path: Path, known: dict[str, Any] | None) -> str:
    """Read and validate one file; anything but a ContractError or the known content is a failure."""
    try:
        found = content(path)
    except cc.ContractError as error:
        if not any(finding.severity == "error" for finding in cc.validate(path)):
            return f"FAILURE: reading says {error.code}, validation finds nothing"
        return error.code
    findings = cc.validate(path)
    if known is not None and found != known:
        return "FAILURE: other content than the original"
    if known is not None and any(finding.severity == "error" for finding in findings):
        return f"FAILURE: reading is content, validation says {findings[0].code}"
    return "unharmed" if known is not None else "readable"


def broken(path: Path, index: int, seed: int, original: Path | None) -> Path:
    """Write broken file number `index`; the file that it was made from, if its content is still known."""
    random = np.random.default_rng([seed, index])
    if original is not None:
        data = bytearray(original.read_bytes())
        data[index] ^= int(random.choice([1, 16, 128, 255]))
        path.write_bytes(data)
        return original
    source = golden_path(KINDS[(index // 9) % len(KINDS)])
    if index % 5 == 4:
        path.write_bytes(source.read_bytes())
        edit(path, random)
        return path
    path.write_bytes(damage(source.read_bytes(), index, random))
    return source


def main() -> None:
    """Fuzz the files numbered START to STOP."""
    folder, seed, start, stop = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    original = Path(sys.argv[5]) if len(sys.argv) > 5 else None
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    sources = [original] if original else [golden_path(kind) for kind in KINDS]
    contents = {source: content(source) for source in sources}
    path = folder / f"fuzz-{start}.h5"
    for index in range(start, stop):
        print(f"start {index}", flush=True)  # noqa: T201
        signal.alarm(SECONDS_PER_FILE)
        source = broken(path, index, seed, original)
        try:
            result = attempt(path, contents.get(source))
        except Exception as error:
            result = f"FAILURE: {type(error).__name__}: {error}"
        print(f"end {index} {result}", flush=True)  # noqa: T201
    path.unlink()


main()
