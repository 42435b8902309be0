"""A batch of trials of any task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

# An array of NumPy, or a tensor once `Trials.map` has turned the batch into one.
Array = Any


@dataclass(frozen=True)
class Trials:
    """Trials of a task, in arrays that share their first axis.

    Attributes:
        inputs: (trial, time, input) what the network receives, noise included.
        inputs_clean: (trial, time, input) the same before noise.
        targets: (trial, time, target) what it should do.
        mask: (trial, time, target) weight of every bin in the loss; 0 is never scored.
        phases: name to (trial, 2) half-open bins [start, stop); -1, -1 where a trial has none.
        columns: name to (trial,) further facts about a trial.
        condition: (trial,) index into the task's `condition_names`, -1 for none; None without conditions.
        length: (trial,) bins before padding; None when every trial fills the time axis.
        perturbations: (trial, time, input) what acts on the task's world unseen by the network; None without.
    """

    inputs: Array
    inputs_clean: Array
    targets: Array
    mask: Array
    phases: Mapping[str, Array] = field(default_factory=dict)
    columns: Mapping[str, Array] = field(default_factory=dict)
    condition: Array | None = None
    length: Array | None = None
    perturbations: Array | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, rows: slice | np.ndarray) -> Trials:
        return self.map(lambda array: array[rows])

    def map(self, change: Callable[[Array], Array]) -> Trials:
        """Return the batch with `change` applied to every array."""
        return Trials.from_flat({name: change(array) for name, array in self.flat().items()})

    def flat(self) -> dict[str, Array]:
        """Return all arrays under one name each: `inputs`, ..., `phases/<name>`, `columns/<name>`."""
        named: dict[str, Array] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Mapping):
                named |= {f"{item.name}/{name}": array for name, array in value.items()}
            elif value is not None:
                named[item.name] = value
        return named

    @classmethod
    def from_flat(cls, named: Mapping[str, Array]) -> Trials:
        """Undo `flat`."""
        arguments: dict[str, Any] = {}
        for name, array in named.items():
            table, _, leaf = name.partition("/")
            if leaf:
                arguments.setdefault(table, {})[leaf] = array
            else:
                arguments[table] = array
        return cls(**arguments)


def gather(blocks: Iterable[Trials], n_trials: int) -> Trials:
    """Join blocks of trials along the trial axis, holding one block at a time, and cut at `n_trials`."""
    whole: dict[str, np.ndarray] = {}
    filled = 0
    for block in blocks:
        part = block[: n_trials - filled].flat()
        if not whole:
            whole = {
                name: np.empty((n_trials, *array.shape[1:]), array.dtype) for name, array in part.items()
            }
        stop = filled + len(part["inputs"])
        for name, array in part.items():
            whole[name][filled:stop] = array
        filled = stop
    if filled < n_trials:
        raise ValueError(f"expected {n_trials} trials, the blocks hold {filled}")
    return Trials.from_flat(whole)
