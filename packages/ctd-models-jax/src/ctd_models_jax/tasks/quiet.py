"""Trials whose inputs fall silent, so that what they have led to must last."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from ctd_models_jax.tasks.config import TaskConfig
from ctd_models_jax.tasks.trials import Trials


def draw_quiet(
    draw: Callable[[TaskConfig, Array, int], Trials],
    targets: Callable[[TaskConfig, Array], Array],
    task: TaskConfig,
    key: Array,
    n_trials: int,
    share: float,
) -> Trials:
    """Draw trials, in a share of which all inputs but the context are zero from a random bin on.

    Where pulses come often nothing has to be remembered for long, and a network may do without the fixed
    points that a memory is made of. Targets are those of the task for the inputs that are left.

    Args:
        draw: Draws trials of a task.
        targets: Gives the targets that follow from inputs.
        task: The task.
        key: Of the draw.
        n_trials: Number of trials.
        share: Share of trials that fall silent, each in a bin after its first.
    """
    trial_key, which_key, bin_key = jax.random.split(key, 3)
    trials = draw(task, trial_key, n_trials)
    silent = jax.random.bernoulli(which_key, share, (n_trials, 1))
    after = jnp.arange(task.n_time) >= jax.random.randint(bin_key, (n_trials, 1), 1, task.n_time)
    heard = ~(silent & after)[:, :, None] | jnp.asarray(task.context_inputs)
    inputs, clean = trials.inputs * heard, trials.inputs_clean * heard
    given = inputs if task.noise_is_evidence else clean
    return Trials(inputs, clean, targets(task, given), trials.mask)
