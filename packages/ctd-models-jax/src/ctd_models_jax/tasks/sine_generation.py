"""Sine generation, drawn on the device."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from ctd_models_jax.tasks.config import SineGenerationConfig
from ctd_models_jax.tasks.trials import Trials, scored


def draw(task: SineGenerationConfig, key: Array, n_trials: int) -> Trials:
    """Draw trials, all at once."""
    place_key, noise_key = jax.random.split(key)
    if task.n_frequencies is None:
        place = jax.random.uniform(place_key, (n_trials,))
    else:
        place = jax.random.randint(place_key, (n_trials,), 0, task.n_frequencies)
        place = place / max(task.n_frequencies - 1, 1)
    frequency = task.lowest_hz + (task.highest_hz - task.lowest_hz) * place
    clean = jnp.broadcast_to(frequency[:, None, None], (n_trials, task.n_time, 1))
    noise = task.noise_std * jax.random.normal(noise_key, clean.shape)
    return Trials(clean + noise, clean, targets(task, clean), scored(task))


def targets(task: SineGenerationConfig, inputs_clean: Array) -> Array:
    """(trial, time, 1) the sine of each bin's start."""
    start_s = task.bin_width_s * jnp.arange(task.n_time)
    return jnp.sin(2 * jnp.pi * jnp.asarray(inputs_clean) * start_s[:, None])
