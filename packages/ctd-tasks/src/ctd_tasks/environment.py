"""Every task as a gymnasium environment: one bin a step, one trial an episode."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from ctd_tasks.tasks import TASKS
from ctd_tasks.tasks.base import BLOCK_TRIALS, Task
from ctd_tasks.tasks.trials import Trials

OUTPUT_BOUND = 10.0


class TaskEnvironment(gymnasium.Env):
    """A task, bin by bin: the observation is the bin's input, the action the network's output in that bin.

    Episode k after `reset(seed=s)` is trial k of `task.generate(..., seed=s, stream="environment")`. The
    reward of a bin is minus its part of the loss; an episode terminates after its last bin, where the
    observation is zero. `info` holds `target` and `mask` of the bin that is observed.

    Args:
        task: a task, or the name of one in `TASKS`.
        **options: fields of the task, when it is given by name.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - gymnasium's own declaration

    def __init__(self, task: Task | str, **options: Any) -> None:
        if isinstance(task, str):
            task = TASKS[task](**options)
        elif options:
            raise TypeError(f"options {sorted(options)} go with a task's name, not with a task")
        self.task = task
        n_inputs, n_outputs = len(task.input_names), len(task.output_names)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (n_inputs,), np.float32)
        self.action_space = gymnasium.spaces.Box(-OUTPUT_BOUND, OUTPUT_BOUND, (n_outputs,), np.float32)
        self._seed: int | None = None
        self._episode = 0
        self._time = 0
        self._block: Trials | None = None
        self._block_key = (0, 0)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        """Begin the next trial; with a seed, the first trial of that seed."""
        super().reset(seed=seed, options=options)
        if seed is not None or self._seed is None:
            # Without a seed gymnasium draws one from the system's entropy, and tells it.
            self._seed = self.np_random_seed if seed is None else seed
            self._episode = 0
        else:
            self._episode += 1
        self._trial = self._next_trial(self._seed)
        self._time = 0
        return self._observe()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Take the output of the bin observed last; return the next bin's input and this bin's reward."""
        if self._time >= self._length:
            raise RuntimeError("the trial has ended: call reset() before the next step")
        reward = self.task.reward(np.asarray(action), self._trial, self._time)
        self._time += 1
        observation, info = self._observe()
        return observation, reward, self._time == self._length, False, info

    @property
    def _length(self) -> int:
        length = self._trial.length
        return self.task.n_time if length is None else int(length[0])

    def _next_trial(self, seed: int) -> Trials:
        index, row = divmod(self._episode, BLOCK_TRIALS)
        if self._block is None or self._block_key != (seed, index):
            self._block_key = (seed, index)
            self._block = self.task.block(index, seed=seed, stream="environment")
        return self._block[row : row + 1]

    def _observe(self) -> tuple[np.ndarray, dict]:
        trial, time = self._trial, self._time
        if time == self._length:
            zero = np.zeros_like(trial.targets[0, 0])
            return np.zeros_like(trial.inputs[0, 0]), {"target": zero, "mask": zero}
        return _copy(trial.inputs, time), {
            "target": _copy(trial.targets, time),
            "mask": _copy(trial.mask, time),
        }


def environment_id(name: str) -> str:
    """Return the id under which gymnasium knows a task: "flip_flop" is "ctd/FlipFlop-v0"."""
    return f"ctd/{name.title().replace('_', '')}-v0"


def register(task: type[Task]) -> None:
    """Add a task to `TASKS`, so that the command knows it, and make it known to `gymnasium.make`."""
    if TASKS.setdefault(task.name, task) is not task:
        raise ValueError(f"another task is called {task.name!r}: {TASKS[task.name].__qualname__}")
    gymnasium.register(
        environment_id(task.name), "ctd_tasks.environment:TaskEnvironment", kwargs={"task": task.name}
    )


def _copy(array: np.ndarray, time: int) -> np.ndarray:
    return array[0, time].copy()
