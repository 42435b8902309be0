"""What several tasks score alike: all bins from one on, and outputs close to their targets."""

from __future__ import annotations

from typing import Any

import numpy as np

from ctd_tasks.tasks.base import Rollout, Score
from ctd_tasks.tasks.trials import Trials


def scored_from(first: int, targets: np.ndarray) -> dict[str, Any]:
    """Return the mask that scores all bins from `first` on, and the same as the phase `scored`.

    A task file has no mask: the phase tells its readers which bins the loss counted.

    Args:
        first: the first bin that counts.
        targets: (trial, time, target).

    Returns:
        The arguments `mask` and `phases` of `Trials`.
    """
    n_trials, n_time, _ = targets.shape
    mask = np.ones_like(targets)
    mask[:, :first] = 0
    phase = np.tile(np.array([first, n_time], np.int32), (n_trials, 1))
    return {"mask": mask, "phases": {"scored": phase}}


def count(right: np.ndarray, trials: Trials) -> Score:
    """Return the score of decisions (trial, time, target), those that the mask leaves out not counted."""
    counted = trials.mask > 0
    return Score((right & counted).sum(axis=(1, 2)), counted.sum(axis=(1, 2)))


def close(rollout: Rollout, trials: Trials, tolerance: float) -> Score:
    """Return the score in which a scored bin is right with all its distance from the target below a bound."""
    return count(np.abs(rollout.outputs - trials.targets) < tolerance, trials)
