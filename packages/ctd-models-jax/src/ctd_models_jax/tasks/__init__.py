"""Tasks whose trials are drawn on the device, in every step anew.

They have the names, settings and definitions of ctd-tasks; the random numbers differ.
"""

from __future__ import annotations

from typing import Any

from jax import Array

from ctd_models_jax.tasks import bit_memory, context_integration, sine_generation
from ctd_models_jax.tasks.config import TASKS, TaskConfig
from ctd_models_jax.tasks.quiet import draw_quiet
from ctd_models_jax.tasks.trials import Trials

_MODULES: dict[type, Any] = {
    TASKS["bit_memory"]: bit_memory,
    TASKS["context_integration"]: context_integration,
    TASKS["sine_generation"]: sine_generation,
}


def draw(task: TaskConfig, key: Array, n_trials: int, *, quiet_share: float = 0.0) -> Trials:
    """Draw trials of a task, all at once.

    Args:
        task: The task.
        key: Of the draw.
        n_trials: Number of trials.
        quiet_share: Share of trials that fall silent, see `ctd_models_jax.tasks.quiet`.
    """
    plain = _MODULES[type(task)].draw
    return (
        draw_quiet(plain, targets, task, key, n_trials, quiet_share)
        if quiet_share
        else plain(task, key, n_trials)
    )


def targets(task: TaskConfig, inputs: Array) -> Array:
    """The targets (trial, time, target) that follow from inputs (trial, time, input), before noise on them
    that is not part of the task.
    """
    return _MODULES[type(task)].targets(task, inputs)


__all__ = ["TASKS", "TaskConfig", "Trials", "draw", "targets"]
