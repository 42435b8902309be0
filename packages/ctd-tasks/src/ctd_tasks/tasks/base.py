"""What a task is: trials from a seed, named channels, a loss and a measure of success."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ctd_tasks.tasks.trials import Array, Trials, gather

if TYPE_CHECKING:
    from ctd_tasks.networks.base import Network

# Streams of random numbers of one seed: sets of trials never share any.
STREAMS = {"train": 0, "valid": 1, "simulation": 2, "environment": 3, "split": 4}
# Trials are drawn in blocks of this many, each from a stream of its own, so that trial k doesn't depend on
# how many are asked for, and a set larger than memory can be drawn piece by piece.
BLOCK_TRIALS = 256


def stream_generator(seed: int, stream: str, *keys: int) -> np.random.Generator:
    """Return the generator of one named stream (a key of `STREAMS`) of a seed, at further integer keys."""
    return np.random.Generator(
        np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(STREAMS[stream], *keys)))
    )


@dataclass(frozen=True)
class Rollout:
    """A network's run through trials, as tensors.

    Attributes:
        initial_state: (trial, state) the state before bin 0.
        inputs: (trial, time, input) what the network received: the trials' inputs, and with a task that
            answers to the network (an arm that it moves) also the feedback.
        states: (trial, time, state) row k is the state after input k, process noise included.
        outputs: (trial, time, output) the readout of exactly these states.
        behavior: (trial, time, behavior) what a coupled task's world did; None otherwise.
    """

    initial_state: Array
    inputs: Array
    states: Array
    outputs: Array
    behavior: Array | None = None

    def map(self, change: Callable[[Array], Array]) -> Rollout:
        """Return the rollout with `change` applied to every array."""
        arrays = {item.name: getattr(self, item.name) for item in fields(self)}
        return Rollout(**{name: None if value is None else change(value) for name, value in arrays.items()})


@dataclass(frozen=True)
class Score:
    """How often a network was right, additive over batches.

    Attributes:
        right: (trial,) number of right decisions.
        counted: (trial,) number of decisions; a decision is a bin and target, or a whole trial.
    """

    right: np.ndarray
    counted: np.ndarray

    @property
    def success(self) -> float:
        """Fraction of right decisions; nan when none counted."""
        counted = float(self.counted.sum())
        return float(self.right.sum()) / counted if counted else float("nan")

    @property
    def per_trial(self) -> np.ndarray:
        """(trial,) fraction of right decisions; nan where none counted."""
        nothing = np.full(len(self.counted), np.nan)
        return np.divide(self.right, self.counted, out=nothing, where=self.counted > 0)


class Task(ABC):
    """Base of all tasks. A task is a frozen dataclass: its fields are its configuration.

    A subclass gives `name`, the channels' names, `draw` and `success`, and may replace the rest.
    """

    name: ClassVar[str]
    n_time: int
    bin_width_s: float

    @property
    @abstractmethod
    def input_names(self) -> tuple[str, ...]:
        """Names of the network's input channels."""

    @property
    @abstractmethod
    def target_names(self) -> tuple[str, ...]:
        """Names of the target channels."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the network's output channels: the targets unless outputs act on a world."""
        return self.target_names

    @property
    def condition_names(self) -> tuple[str, ...]:
        """Names of the conditions that `Trials.condition` counts; () without conditions."""
        return ()

    @abstractmethod
    def draw(self, generator: np.random.Generator, n_trials: int) -> Trials:
        """Draw trials, all at once and from this generator alone."""

    @abstractmethod
    def success(self, rollout: Rollout, trials: Trials) -> Score:
        """Judge a rollout (NumPy arrays): right and counted decisions of each trial."""

    def loss(self, rollout: Rollout, trials: Trials, *, epoch: int = 0) -> dict[str, Any]:
        """Return the named terms (scalars) whose sum training minimises; works on arrays and on tensors.

        Args:
            rollout: the network's run.
            trials: the trials that it ran through.
            epoch: epoch of training, for losses that change with it.

        Returns:
            Here: squared error × mask, mean over all elements.
        """
        del epoch
        return {"error": ((rollout.outputs - trials.targets) ** 2 * trials.mask).mean()}

    def reward(self, action: np.ndarray, trials: Trials, time: int) -> float:
        """Return the reward of an output (output,) in bin `time` of the first trial, for the environment."""
        error = (action - trials.targets[0, time]) ** 2 * trials.mask[0, time]
        return -float(error.mean())

    def run(self, network: Network, trials: Trials, generator: Any) -> Rollout:
        """Run a network through trials (tensors). A task that answers to the network replaces this.

        Args:
            network: the network.
            trials: trials as tensors.
            generator: a `torch.Generator` for the initial states and the process noise; None for neither.
        """
        return network.run(trials.inputs, generator)

    def for_simulation(self) -> Task:
        """Return the task whose trials the trained network is run through: this one unless replaced."""
        return self

    def generate(self, n_trials: int, *, seed: int, stream: str) -> Trials:
        """Draw a set of trials; a longer set of the same seed and stream begins with the same trials.

        Args:
            n_trials: number of trials.
            seed: the run's seed.
            stream: a key of `STREAMS`.
        """
        if n_trials < 1:
            raise ValueError(f"n_trials must be at least 1, got {n_trials}")
        blocks = -(-n_trials // BLOCK_TRIALS)
        return gather((self.block(k, seed=seed, stream=stream) for k in range(blocks)), n_trials)

    def block(self, index: int, *, seed: int, stream: str) -> Trials:
        """Draw block `index` of a set: trials `index * BLOCK_TRIALS` and following."""
        return self.draw(stream_generator(seed, stream, index), BLOCK_TRIALS)
