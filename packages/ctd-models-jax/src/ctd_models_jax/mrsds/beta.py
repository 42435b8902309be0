"""The weight of the states' term over training."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array


@dataclass(frozen=True)
class Beta:
    """Teeth that rise in a line to a peak and fall as half a cosine to a hundredth of it, never below 1.

    Attributes:
        peak: Of each tooth.
        warm_up: Updates in which a tooth rises.
        period: Updates of a tooth.
    """

    peak: float
    warm_up: int
    period: int

    def __call__(self, step: Array | int) -> Array:
        """The weight at an update."""
        at = jnp.asarray(step) % self.period
        fall = (at - self.warm_up) / max(self.period - self.warm_up, 1)
        shape = jnp.where(
            at < self.warm_up, at / max(self.warm_up, 1), 0.01 + 0.99 * (1 + jnp.cos(jnp.pi * fall)) / 2
        )
        return jnp.maximum(self.peak * shape, 1.0)
