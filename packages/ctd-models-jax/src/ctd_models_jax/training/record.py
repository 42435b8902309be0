"""What a run leaves on disk while it trains: metrics.csv and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ctd_models_jax import checkpoint
from ctd_models_jax.training.epoch import State

METRICS = "metrics.csv"
CHECKPOINT = "checkpoints/last.safetensors"


class Record:
    """A folder that holds the figures of every epoch and the last state of training.

    Args:
        folder: Where; it exists.
        every: Epochs between two checkpoints.
    """

    def __init__(self, folder: Path, *, every: int) -> None:
        self.every = every
        self.metrics, self.checkpoint = folder / METRICS, folder / CHECKPOINT
        self.checkpoint.parent.mkdir(exist_ok=True)
        self._lines: list[str] = []
        self._written = 0

    def restart(self, *, resume: bool) -> dict[str, Any] | None:
        """Begin anew, or go on from the checkpoint if there is one: then give its notes."""
        if not (resume and self.checkpoint.exists()):
            self.metrics.unlink(missing_ok=True)
            return None
        notes = checkpoint.load_notes(self.checkpoint)
        self._written = int(notes["lines"])
        kept = self.metrics.read_text().splitlines(keepends=True)[: self._written]
        self.metrics.write_text("".join(kept))
        return notes

    def load(self, like: State) -> State:
        """The state of the checkpoint."""
        return checkpoint.load(self.checkpoint, like)

    def add(self, place: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
        """Note an epoch's figures; of several seeds a line each."""
        values = {name: np.asarray(value) for name, value in figures.items()}
        shape = next(iter(values.values())).shape
        if not (self._written or self._lines):
            self._lines.append(",".join([*place, *(["seed"] if shape else []), *values]) + "\n")
        for index in np.ndindex(shape):
            cells = [*place.values(), *index, *(f"{value[index]:.8g}" for value in values.values())]
            self._lines.append(",".join(map(str, cells)) + "\n")

    def save(self, state: State, stage: int, epoch: int) -> None:
        """Write the figures so far and a checkpoint."""
        with self.metrics.open("a") as file:
            file.writelines(self._lines)
        self._written += len(self._lines)
        self._lines.clear()
        checkpoint.save(self.checkpoint, state, {"stage": stage, "epoch": epoch, "lines": self._written})
