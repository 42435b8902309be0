"""How much states jump, as a penalty."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array


def roughness(states: Array, valid: Array) -> Array:
    """Sum of |Δx|, |Δ²x| and |Δ³x| over states and bins, (trial,).

    A difference counts where all bins that it is of belong to the trial.

    Args:
        states: (trial, time, state).
        valid: (trial, time) 1 in bins of the trial.
    """
    total = jnp.zeros(len(states))
    for _ in range(min(3, states.shape[1] - 1)):
        states, valid = jnp.diff(states, axis=1), valid[:, 1:] * valid[:, :-1]
        total = total + jnp.sum(jnp.where(valid[..., None] > 0, jnp.abs(states), 0.0), (1, 2))
    return total
