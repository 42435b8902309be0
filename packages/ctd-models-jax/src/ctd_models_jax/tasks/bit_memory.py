"""The N-bit memory, drawn on the device."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from ctd_models_jax.tasks.config import BitMemoryConfig
from ctd_models_jax.tasks.trials import Trials, scored


def draw(task: BitMemoryConfig, key: Array, n_trials: int) -> Trials:
    """Draw trials, all at once."""
    pulse_key, noise_key = jax.random.split(key)
    uniform = jax.random.uniform(pulse_key, (n_trials, task.n_time, task.n_bits))
    share = task.pulse_probability / 2
    lines = jnp.stack([uniform < share, uniform > 1 - share], axis=-1)
    clean = lines.reshape(n_trials, task.n_time, 2 * task.n_bits).astype(jnp.float32)
    noise = task.noise_std * jax.random.normal(noise_key, clean.shape)
    return Trials(clean + noise, clean, targets(task, clean), scored(task))


def targets(task: BitMemoryConfig, inputs_clean: Array) -> Array:
    """(trial, time, bit) the sign of each bit's last pulse: of the last of either sign, the later counts."""
    lines = jnp.asarray(inputs_clean).reshape(*inputs_clean.shape[:2], task.n_bits, 2)
    when = jnp.arange(1, task.n_time + 1, dtype=jnp.float32)[:, None]
    down, up = (jax.lax.cummax(when * lines[..., way], axis=1) for way in (0, 1))
    return jnp.where(up > down, 1.0, -1.0)
