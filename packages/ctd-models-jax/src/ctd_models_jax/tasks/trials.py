"""A batch of trials on the device."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from ctd_models_jax.tasks.config import TaskConfig


class Trials(NamedTuple):
    """Trials of a task.

    Attributes:
        inputs: (trial, time, input) what the network receives.
        inputs_clean: (trial, time, input) the same before noise.
        targets: (trial, time, target).
        mask: (time,) 1 where outputs count.
    """

    inputs: Array
    inputs_clean: Array
    targets: Array
    mask: Array


def scored(task: TaskConfig) -> Array:
    """(time,) 1 where outputs count."""
    return (jnp.arange(task.n_time) >= task.first_scored).astype(jnp.float32)
