"""Where a step's trials come from: a shuffled set on the device, or a generator that draws them there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import Array


class Batches(Protocol):
    """An epoch's batches, as pure functions that are traced once.

    Attributes:
        steps: Updates in an epoch.
    """

    @property
    def steps(self) -> int: ...  # noqa: D102

    def plan(self, key: Array) -> Array:
        """What is drawn before an epoch, (step, ...); its rows are handed to `take` one by one."""
        ...

    def take(self, data: Any, row: Array, key: Array) -> Any:
        """The batch of one step."""
        ...


@dataclass(frozen=True)
class Shuffled:
    """Trials of a set in an order that is drawn anew each epoch; those that fill no batch wait for the next.

    Attributes:
        n_trials: Trials of the set; the first axis of every array of the data.
        batch_size: Trials in a step; all of them where there are fewer.
    """

    n_trials: int
    batch_size: int

    @property
    def steps(self) -> int:
        """Whole batches of the set."""
        return max(self.n_trials // self.batch_size, 1)

    def plan(self, key: Array) -> Array:
        """A permuted index matrix (step, trial)."""
        order = jax.random.permutation(key, self.n_trials)
        size = min(self.batch_size, self.n_trials)
        return order[: self.steps * size].reshape(self.steps, size)

    def take(self, data: Any, row: Array, key: Array) -> Any:
        """The trials of one row of the plan."""
        del key
        return jax.tree.map(lambda array: array[row], data)


@dataclass(frozen=True)
class ShuffledSets:
    """Trials of several sets, evenly from each in every step; an epoch goes through the longest once.

    The data are a list, one tree of arrays a set, and so is a batch. Of a shorter set every trial is taken
    once before any is taken again.

    Attributes:
        n_trials: Trials of each set.
        batch_size: Trials in a step, of all sets together.
    """

    n_trials: tuple[int, ...]
    batch_size: int

    @property
    def each(self) -> int:
        """Trials in a step of each set."""
        return min(max(self.batch_size // len(self.n_trials), 1), *self.n_trials)

    @property
    def steps(self) -> int:
        """Whole batches of the longest set."""
        return max(max(self.n_trials) // self.each, 1)

    def plan(self, key: Array) -> Array:
        """Indices (step, set, trial)."""
        needed = self.steps * self.each
        orders = []
        for index, count in enumerate(self.n_trials):
            rounds = jax.random.split(jax.random.fold_in(key, index), -(-needed // count))
            order = jnp.concatenate([jax.random.permutation(each, count) for each in rounds])
            orders.append(order[:needed].reshape(self.steps, self.each))
        return jnp.stack(orders, 1)

    def take(self, data: Any, row: Array, key: Array) -> Any:
        """The trials of one row of the plan."""
        del key
        return [jax.tree.map(lambda a, at=at: a[at], one) for one, at in zip(data, row, strict=True)]


@dataclass(frozen=True)
class Generated:
    """Trials that are drawn on the device in every step; the data of `fit` go unused.

    Attributes:
        draw: From a key to a batch.
        steps: Updates in one compiled call, which is called an epoch.
    """

    draw: Callable[[Array], Any]
    steps: int

    def plan(self, key: Array) -> Array:
        """Nothing is planned: a column of zeros."""
        del key
        return jnp.zeros(self.steps, jnp.int32)

    def take(self, data: Any, row: Array, key: Array) -> Any:
        """Draw a batch."""
        del data, row
        return self.draw(key)
