"""HDF5 files whose keys are `<split>_<name>`: the common ground of the lfads-torch and CtDB layouts."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from ctd_contract import hdf5
from ctd_contract.errors import ContractError, ContractWarning
from ctd_contract.inventory import damaged
from ctd_contract.schema import SPLITS

from .design import Design
from .trials import same_leading_axes


class SplitKeys:
    """The arrays of such a file, by split and name.

    Attributes:
        where: The file, for errors.
        split: uint8 (trial,), as the keys say; trials in the order train, valid, test.
        data: (trial, time, neuron), NaN where a split gives encoder data alone.
        held_out: bool (neuron,), neurons that encoder data lack.
        forward: bool (time,), bins that encoder data lack.
    """

    def __init__(self, file: h5py.File, where: str) -> None:
        self.where = where
        self._file = file
        self._used: set[str] = set()
        self._splits = [
            s for s in SPLITS if any(f"{s}_{n}" in file for n in ("data", "encod_data", "recon_data"))
        ]
        for split in ("train", "valid"):
            if split not in self._splits:
                raise self._lacking(f"{split}_encod_data and {split}_recon_data, or {split}_data")
        encoded = self._read("train", "encod_data")
        full = self._full("train")
        self.sizes = {"time": full.shape[1], "neuron": full.shape[2]}
        seen = full.shape if encoded is None else encoded.shape
        self.held_out = np.arange(full.shape[2]) >= seen[2]
        self.forward = np.arange(full.shape[1]) >= seen[1]
        parts = {split: self._observed(split) for split in self._splits}
        self.data = np.concatenate(list(parts.values()))
        self._counts = {split: len(part) for split, part in parts.items()}
        self.split = np.repeat([SPLITS[s] for s in parts], list(self._counts.values())).astype(np.uint8)

    def get(self, *names: str, axes: tuple[str, ...]) -> np.ndarray | None:
        """Return the array of all trials under the first of `names` that the file has, or None.

        Args:
            names: What comes after the split.
            axes: Its axes; those that other arrays share must agree.
        """
        for name in names:
            found = [split for split in self._splits if f"{split}_{name}" in self._file]
            if not found:
                continue
            self._used.update(f"{split}_{name}" for split in found)
            if len(found) < len(self._splits):
                lacking = ", ".join(sorted(set(self._splits) - set(found)))
                _warn(f"{self.where}: {name} is left out, since {lacking} has none")
                return None
            return np.concatenate([self._checked(split, name, axes) for split in found])
        return None

    def get_trials(self, name: str) -> np.ndarray | None:
        """Return an array of any shape per trial (trial, ...), or None."""
        items = [self._file.get(f"{split}_{name}") for split in self._splits]
        ranks = [item.ndim for item in items if isinstance(item, h5py.Dataset)]
        axes = ("trial", *(f"{name} {i}" for i in range(max(ranks, default=1) - 1)))
        return self.get(name, axes=axes)

    def root(self, name: str) -> np.ndarray | None:
        """Return an array that isn't split, or None."""
        self._used.add(name)
        item = self._file.get(name)
        return _numbers(item) if isinstance(item, h5py.Dataset) else None

    def attribute(self, name: str) -> float | None:
        """Return a number among the file's attributes, or None."""
        value = hdf5.plain(self._file.attrs[name]) if name in self._file.attrs else None
        return float(value) if isinstance(value, int | float) else None

    def trial_ids(self) -> tuple[np.ndarray | None, dict[tuple[str, str], np.ndarray]]:
        """Return the ids under `inds`; as a column instead where they repeat."""
        ids = self.get("inds", axes=("trial",))
        if ids is None or len(np.unique(ids)) == len(ids):
            return ids, {}
        return None, {("trials", "source_index"): ids.astype(np.int64)}

    def masks(self) -> dict[tuple[str, str], np.ndarray]:
        """Return the columns of held-out neurons and forward bins."""
        columns = {("neurons", "held_out"): self.held_out.astype(np.uint8)}
        if self.forward.any():
            columns["times", "forward"] = self.forward.astype(np.uint8)
        return columns

    def three_splits(self, design: Design) -> np.ndarray:
        """Return the file's three splits, or make three of two."""
        if "test" not in self._splits:
            return design.third_split(self.split, self.where)
        design.refuse_split(self.where)
        return self.split

    def warn_of_unused(self) -> None:
        """Name, in one warning, what no signal or table was found for."""
        unused = sorted(set(map(str, self._file)) - self._used)
        if unused:
            _warn(f"{self.where}: no place in a recording, left out: {', '.join(unused)}")

    def _read(self, split: str, name: str) -> np.ndarray | None:
        key = f"{split}_{name}"
        if key not in self._file:
            return None
        self._used.add(key)
        return same_leading_axes(self.where, key, _numbers(self._file[key]), ("trial", "time", "neuron"), {})

    def _full(self, split: str) -> np.ndarray:
        for name in ("recon_data", "data", "encod_data"):
            array = self._read(split, name)
            if array is not None:
                return array
        raise self._lacking(f"{split}_recon_data")

    def _observed(self, split: str) -> np.ndarray:
        """Data of a split on the full axes; encoder data must be the leading part of the rest."""
        axes, sizes = ("trial", "time", "neuron"), dict(self.sizes)
        encoded, full = self._read(split, "encod_data"), self._full(split)
        leading = (np.count_nonzero(~self.forward), np.count_nonzero(~self.held_out))
        if encoded is not None and full.shape == encoded.shape == (len(full), *leading):
            whole = np.full((len(full), sizes["time"], sizes["neuron"]), np.nan, np.float32)
            whole[:, : leading[0], : leading[1]] = full
            return whole
        full = same_leading_axes(self.where, f"{split}_recon_data", full, axes, sizes)
        seen = full[:, : leading[0], : leading[1]]
        if encoded is not None and not np.array_equal(encoded, seen, equal_nan=full.dtype.kind == "f"):
            raise ContractError(
                "CTD703",
                f"{self.where}:{split}_encod_data {encoded.shape}",
                f"the leading bins and neurons of {split}_recon_data {full.shape}",
                "other values or axes",
                "order bins and neurons so that those hidden from the encoder come last",
            )
        return full

    def _checked(self, split: str, name: str, axes: tuple[str, ...]) -> np.ndarray:
        key, sizes = f"{split}_{name}", {**self.sizes, "trial": self._counts[split]}
        array = same_leading_axes(self.where, key, _numbers(self._file[key]), axes, sizes)
        self.sizes.update({axis: size for axis, size in sizes.items() if axis != "trial"})
        return array

    def _lacking(self, what: str) -> ContractError:
        found = ", ".join(sorted(map(str, self._file))) or "an empty file"
        return ContractError(
            "CTD702", self.where, what, found, "name the keys so, or convert by another format"
        )


@contextmanager
def open_split_keys(path: Path) -> Iterator[SplitKeys]:
    """Open such a file; whatever HDF5 stumbles on in it is a ContractError."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield SplitKeys(file, path.name)
    except (OSError, RuntimeError, KeyError) as error:
        raise damaged(path.name, error) from error


def split_key_names(names: Iterable[str]) -> set[str]:
    """Return what comes after `train_` among the keys of a file."""
    return {name.removeprefix("train_") for name in names if name.startswith("train_")}


def _numbers(item: object) -> np.ndarray:
    """Return what a dataset holds; an object array, which no check lets pass, for anything else."""
    try:
        return np.asarray(item[()] if isinstance(item, h5py.Dataset) else None)
    except (ValueError, TypeError):  # a type that NumPy doesn't have
        return np.asarray(None)


def _warn(message: str) -> None:
    warnings.warn(message, ContractWarning, stacklevel=3)
