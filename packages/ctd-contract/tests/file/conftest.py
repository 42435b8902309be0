"""Files taken apart into plain Python and put together again, so that any part can be made wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ctd_contract import digest, hdf5, testing
from ctd_contract.schema import AXES


@dataclass
class Node:
    """A group (no array) or dataset."""

    array: np.ndarray | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    axes: dict[int, str] = field(default_factory=dict)


class RawFile(dict[str, Node]):
    """All objects of a file by path; `save` writes whatever they have become, sealed."""

    @classmethod
    def load(cls, path: Path) -> RawFile:
        raw = cls()
        with h5py.File(path, "r") as file:

            def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
                node = Node(attributes=hdf5.read_attributes(item))
                if isinstance(item, h5py.Dataset):
                    node.array = item[...]
                    scales = {i: list(d.keys()) for i, d in enumerate(item.dims)}
                    node.axes = {i: names[0] for i, names in scales.items() if names}
                raw["/" + name] = node

            file.visititems(visit)
            raw["/"] = Node(attributes=hdf5.read_attributes(file))
        return raw

    def save(self, path: Path, *, scales: bool = True) -> Path:
        with h5py.File(path, "w", libver=hdf5.LIBVER) as file:
            for name, node in self.items():
                if node.array is None:
                    item: Any = file.require_group(name)
                else:
                    item = hdf5.create_dataset(file, name, node.array.shape, node.array.dtype)
                    item[...] = node.array
                for key, value in node.attributes.items():
                    hdf5.write_attribute(item, key, value)
            self._attach(file, scales)
            names: list[str] = []
            file.visit(names.append)
            for name in names:
                self.setdefault("/" + name, Node())
            if "ctd_digest" in file.attrs:
                del file.attrs["ctd_digest"]
                hdf5.write_attribute(file, "ctd_digest", self.digest(file))
        return path

    def _attach(self, file: h5py.File, scales: bool) -> None:
        for axis in AXES:
            if f"/{axis}" in self and scales:
                file[axis].make_scale(axis)
        for name, node in self.items():
            for index, axis in node.axes.items():
                if scales and axis in file and node.array is not None and index < node.array.ndim:
                    file[name].dims[index].attach_scale(file[axis])

    def digest(self, file: h5py.File) -> str:
        lines = []
        for name, node in self.items():
            if not digest.is_sealed(name):
                continue
            item, dtype, shape, content = file[name], "", (), ""
            if node.array is not None:
                dtype, shape, content = item.dtype.str, item.shape, digest.sha256(item[...])
            lines.append(digest.line(name, dtype, shape, content, hdf5.read_attributes(item)))
        return digest.seal(lines)

    def set(self, name: str, array: Any, dtype: str | None = None) -> None:
        """Replace an array, its type kept unless another is given."""
        node = self.setdefault(name, Node())
        dtype = dtype or (node.array.dtype.str if node.array is not None else None)
        node.array = np.asarray(array) if dtype is None else np.asarray(array).astype(dtype)


@pytest.fixture(scope="session")
def toy_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One small valid file of each kind."""
    folder = tmp_path_factory.mktemp("toys")
    sizes: dict[str, Any] = {"n_trials": 6, "n_time": 5, "n_states": 2, "n_inputs": 1, "lengths": True}
    files = {
        "task": testing.make_task(folder / "task.h5", **sizes),
        "recording": testing.make_recording(folder / "recording.h5", n_neurons=4, **sizes),
    }
    files["inference"] = testing.make_inference(folder / "inference.h5", files["recording"])
    return files


@pytest.fixture
def edited(tmp_path: Path, toy_files: dict[str, Path]) -> Callable[..., Path]:
    """Save a changed copy of a toy file: ``edited("recording", change)``."""

    def edit(kind: str, change: Callable[[RawFile], None], *, scales: bool = True) -> Path:
        raw = RawFile.load(toy_files[kind])
        change(raw)
        return raw.save(tmp_path / f"{kind}.h5", scales=scales)

    return edit
