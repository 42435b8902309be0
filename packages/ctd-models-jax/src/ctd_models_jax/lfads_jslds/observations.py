"""What is scored between a prediction and what was recorded."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import Array

# Log count of a bin above which Poisson's rate goes on in a straight line: about 1,100 spikes in a bin.
LINEAR_ABOVE = 7.0
_LOG_2PI = math.log(2 * math.pi)


def expected_counts(log_counts: Array) -> Array:
    """exp, which goes on above c = `LINEAR_ABOVE` as e^c (1 + log_counts - c): no loss can overflow."""
    bent = jnp.minimum(log_counts, LINEAR_ABOVE)
    return jnp.exp(bent) * (1 + (log_counts - bent))


def poisson(log_counts: Array, counts: Array) -> Array:
    """Negative log-likelihood of each count without its factorial, λ - y log λ."""
    bent = jnp.minimum(log_counts, LINEAR_ABOVE)
    growth = 1 + (log_counts - bent)
    return jnp.exp(bent) * growth - counts * (bent + jnp.log(growth))


def gaussian(mean: Array, values: Array, log_variance: Array) -> Array:
    """Negative log-likelihood of each value, ½ ((y - μ)² / σ² + log 2πσ²)."""
    return 0.5 * ((values - mean) ** 2 * jnp.exp(-log_variance) + log_variance + _LOG_2PI)
