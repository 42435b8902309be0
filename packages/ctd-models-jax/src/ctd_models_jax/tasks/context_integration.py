"""Context-dependent integration, drawn on the device."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from ctd_models_jax.tasks.config import SWITCH_MARGIN, ContextIntegrationConfig
from ctd_models_jax.tasks.trials import Trials, scored


def draw(task: ContextIntegrationConfig, key: Array, n_trials: int) -> Trials:
    """Draw trials, all at once."""
    keys = jax.random.split(key, 5)
    first = jax.random.bernoulli(keys[0], 0.5, (n_trials,))
    switched = jax.random.bernoulli(keys[1], task.switch_probability, (n_trials,))
    last = max(SWITCH_MARGIN, task.n_time - SWITCH_MARGIN)
    switch_bin = jax.random.randint(keys[2], (n_trials,), SWITCH_MARGIN, last + 1)
    over = switched[:, None] & (jnp.arange(task.n_time) >= switch_bin[:, None])
    lines = jax.nn.one_hot((first[:, None] ^ over).astype(jnp.int32), 2)
    bias = jnp.broadcast_to(_bias(task, keys[3], n_trials)[:, None], lines.shape)
    noise = task.noise_std / task.bin_width_s**0.5 * jax.random.normal(keys[4], lines.shape)
    inputs = jnp.concatenate([bias + noise, lines], -1)
    return Trials(inputs, jnp.concatenate([bias, lines], -1), targets(task, inputs), scored(task))


def targets(task: ContextIntegrationConfig, inputs: Array) -> Array:
    """(trial, time, 1) the running sum of the stream that is cued in each bin."""
    del task
    streams, lines = jnp.split(jnp.asarray(inputs), 2, -1)
    return jnp.cumsum((streams * lines).sum(-1, keepdims=True), axis=1)


def _bias(task: ContextIntegrationConfig, key: Array, n_trials: int) -> Array:
    if task.biases == "uniform":
        return task.bias_scale * jax.random.uniform(key, (n_trials, 2), minval=-1.0)
    return task.bias_scale * 2 * (jax.random.normal(key, (n_trials, 2)) - 0.5)
