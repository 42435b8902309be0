"""Validation of the content: arrays are streamed once, for their values and for the digest."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator

import numpy as np

from . import digest, hdf5, portable
from .errors import ContractError
from .inventory import Entry, Inventory, damaged
from .report import Report
from .schema import AXES, SPLIT_SCHEME, SPLITS, TABLES, signal_spec

BLOCK_BYTES = 8 * 1024 * 1024
TIME_TOLERANCE = 1e-6


def check(inventory: Inventory, report: Report) -> None:
    """Report everything in the arrays that breaks the contract. The structure must be sound."""
    content = _Content(inventory, report)
    lines = [content.line(entry) for entry in inventory.entries.values() if digest.is_sealed(entry.path)]
    if None not in lines:
        expected, got = inventory["/"].attributes["ctd_digest"], digest.seal(filter(None, lines))
        if got != expected:
            fix = "the content was changed after it was written: get the file again"
            report.error("CTD116", "/@ctd_digest", f"the digest {expected[:12]}…", f"{got[:12]}…", fix)
    content.dynamics()


def rows(entry: Entry) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks along the first axis of a dataset, with the row that each starts at."""
    dataset = entry.dataset
    if dataset is None or 0 in entry.shape:
        return
    row_bytes = entry.dtype.itemsize * math.prod(entry.shape[1:])
    chunk = (dataset.chunks or (1,))[0]
    step = max(1, BLOCK_BYTES // (row_bytes * chunk)) * chunk
    for start in range(0, entry.shape[0], step):
        try:
            yield start, dataset[start : start + step]
        except (OSError, RuntimeError) as error:
            raise damaged(entry.path, error) from error


class _Content:
    def __init__(self, inventory: Inventory, report: Report):
        self.inventory = inventory
        self.report = report
        length = inventory.dataset("/trials/length")
        self.lengths = None if length is None else self._whole(length)

    def line(self, entry: Entry) -> str | None:
        """The line of an object in the digest, its values checked on the way; None when it can't be read."""
        if not entry.is_dataset:
            return digest.line(entry.path, "", (), "", entry.attributes)
        check = self._check_of(entry)
        sha = hashlib.sha256()
        try:
            for start, block in rows(entry):
                sha.update(np.ascontiguousarray(block).data)
                if check is not None and not check(entry, start, block):
                    check = None
        except ContractError as error:
            self.report.error(error.code, entry.path, error.expected, error.got, error.fix)
            return None
        return digest.line(entry.path, entry.dtype.str, entry.shape, sha.hexdigest(), entry.attributes)

    def _check_of(self, entry: Entry) -> Callable[[Entry, int, np.ndarray], bool] | None:
        folder, _, name = entry.path[1:].partition("/")
        if folder in ("signals", "truth") and signal_spec(name):
            return self._signal
        if folder in TABLES:
            return self._column
        if folder == "phases" and name:
            return self._phase
        if folder in AXES:
            return self._axis
        return self._finite if name else None

    def _error(self, code: str, entry: Entry, expected: str, got: str, fix: str) -> bool:
        self.report.error(code, entry.path, expected, got, fix)
        return False

    def _whole(self, entry: Entry) -> np.ndarray | None:
        try:
            return np.concatenate([block for _, block in rows(entry)] or [np.zeros(entry.shape, entry.dtype)])
        except ContractError:
            return None

    def _size(self, axis: str) -> int:
        entry = self.inventory.dataset(f"/{axis}")
        return entry.shape[0] if entry else 0

    # --- one check for each sort of array: whether the rest of it is still worth checking

    def _finite(self, entry: Entry, start: int, block: np.ndarray) -> bool:
        if block.dtype.kind != "f" or np.isfinite(block).all():
            return True
        at = np.argwhere(~np.isfinite(block))[0]
        at[0] += start
        got = f"{np.count_nonzero(~np.isfinite(block))} that aren't, the first at {tuple(at.tolist())}"
        return self._error("CTD303", entry, "finite values", got, "mend the values")

    def _signal(self, entry: Entry, start: int, block: np.ndarray) -> bool:
        name = entry.path.rpartition("/")[2]
        spec = signal_spec(name)
        if spec is None:
            return False
        sound = self._padding(entry, start, block) if spec.axes[:2] == ("trial", "time") else True
        if spec.missing:
            block = np.where(np.isnan(block), 0, block)
        sound = self._finite(entry, start, block) and sound
        if name == "observed" and block.max(initial=0) > 1:
            return self._error("CTD308", entry, "0 and 1", str(block.max()), "mend the values")
        positive = name in ("rates", "mode_probability") or name.endswith("_std")
        if positive and (block < 0).any():
            return self._error("CTD310", entry, "values from 0", str(block.min()), "mend the values")
        return sound

    def _padding(self, entry: Entry, start: int, block: np.ndarray) -> bool:
        if self.lengths is None:
            return True
        past = np.arange(block.shape[1]) >= self.lengths[start : start + len(block), None]
        # NaN counts as something other than zero too.
        wrong = past & (block.reshape(*past.shape, -1) != 0).any(axis=-1)
        if not wrong.any():
            return True
        trial, bin_index = np.argwhere(wrong)[0].tolist()
        got = f"other values, the first in trial {start + trial}, bin {bin_index}"
        return self._error("CTD306", entry, "zeros past each trial's length", got, "set the padding to zero")

    def _column(self, entry: Entry, _start: int, block: np.ndarray) -> bool:
        table, _, name = entry.path[1:].partition("/")
        if block.dtype.kind == "S":
            return self._text(entry, name, block)
        if table == "trials" and (name == "split" or SPLIT_SCHEME.fullmatch(name)):
            return self._within(entry, block, "CTD304", 0, len(SPLITS) - 1)
        if table == "trials" and name == "length":
            return self._within(entry, block, "CTD305", 1, self._size("time"))
        if table == "trials" and name == "condition":
            limit = self._size("condition") - 1 if "/condition" in self.inventory else 2**31
            return self._within(entry, block, "CTD307", -1, limit)
        if name in ("held_out", "forward") and table in ("neurons", "times"):
            return self._within(entry, block, "CTD308", 0, 1)
        if name == "region" and table in ("neurons", "states", "factors", "controls"):
            return self._region(entry, block)
        # A metric may be undefined, and a free column may have no value for a trial.
        return True

    def _within(self, entry: Entry, block: np.ndarray, code: str, low: int, high: int) -> bool:
        least, most = int(block.min(initial=high)), int(block.max(initial=low))
        if low <= least and most <= high:
            return True
        return self._error(
            code, entry, f"values from {low} to {high}", f"{least} to {most}", "mend the values"
        )

    def _region(self, entry: Entry, block: np.ndarray) -> bool:
        if not self._within(entry, block, "CTD307", 0, self._size("region") - 1):
            return False
        changes = np.count_nonzero(np.diff(block.astype(np.int64)))
        if changes + 1 == len(np.unique(block)) or not len(block):
            return True
        return self._error(
            "CTD311", entry, "each region in one slice", "a region in pieces", "sort by region"
        )

    def _text(self, entry: Entry, name: str, block: np.ndarray) -> bool:
        try:
            values = hdf5.decode(block)
        except UnicodeDecodeError:
            return self._error("CTD204", entry, "UTF-8", "other bytes", "encode the strings as UTF-8")
        if name == "name" and (len(np.unique(values)) < len(values) or (values == "").any()):
            return self._error("CTD312", entry, "names, each different", "one twice or empty", "rename them")
        return True

    def _axis(self, entry: Entry, start: int, block: np.ndarray) -> bool:
        """Check a whole axis with its first block: ids repeat across blocks too."""
        values = self._whole(entry) if start == 0 else None
        if values is None:
            return False
        if entry.path == "/time":
            return self._finite(entry, 0, block) and self._time(entry, values)
        if len(np.unique(values)) == len(values):
            return True
        return self._error("CTD301", entry, "unique ids", "ids that repeat", "number them anew")

    def _time(self, entry: Entry, values: np.ndarray) -> bool:
        width, steps = entry.attributes["bin_width"], np.diff(values)
        # Long after zero a float64 time itself is no sharper than this.
        slack = TIME_TOLERANCE * width + 4 * np.spacing(np.abs(values).max(initial=0))
        if not len(steps) or np.abs(steps - width).max() <= slack:
            return True
        got = f"steps from {steps.min():.9g} to {steps.max():.9g} s"
        return self._error("CTD302", entry, f"steps of {width:g} s", got, "mend /time or its bin_width")

    def _phase(self, entry: Entry, start: int, block: np.ndarray) -> bool:
        first, last = block[:, 0], block[:, 1]
        limit = self._size("time") if self.lengths is None else self.lengths[start : start + len(block)]
        none = (first == -1) & (last == -1)
        wrong = ~none & ((first < 0) | (last < first) | (last > limit))
        if not wrong.any():
            return True
        row = int(np.flatnonzero(wrong)[0])
        got = f"{block[row].tolist()} in trial {start + row}"
        fix = "mend the bounds, or -1, -1 where a trial has none"
        return self._error("CTD309", entry, "0 ≤ start ≤ stop ≤ length", got, fix)

    # --- dynamics and readout

    def dynamics(self) -> None:
        """Rebuild dynamics and readouts, recompute probes and compare sizes."""
        for place in ("/", "/truth/"):
            for build in (portable.read_dynamics, portable.read_readout):
                try:
                    build(self.inventory, place)
                except ContractError as error:
                    _, _, path = error.path.rpartition(":")
                    self.report.error(error.code, path, error.expected, error.got, error.fix)
