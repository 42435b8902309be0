"""Masks of ordinary inverted dropout, drawn before the loop over bins."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ctd_models_jax.lfads_jslds.config import LFADSJSLDSConfig


class Masks(NamedTuple):
    """0 with the probability of dropout, else 1 / (1 - it); None for no dropout.

    Attributes:
        read: (trial, seen bin, channel), of what encoders read.
        summary: (trial, 2 · unit), of what the initial state is inferred from.
        encoded: (trial, time, 2 · unit), of what the controller sees; None without one.
        factors: (trial, time, factor), of what it hears of the network; None without one.
        states: (trial, time + 1, state), of the states that factors are made of, the initial one first; the
            same for both generators.
    """

    read: Array | None = None
    summary: Array | None = None
    encoded: Array | None = None
    factors: Array | None = None
    states: Array | None = None

    @classmethod
    def draw(
        cls, key: Array | None, settings: LFADSJSLDSConfig, n_trials: int, n_time: int, read: tuple[int, ...]
    ) -> Masks:
        """Draw the masks of a step; without a key or dropout there are none.

        Args:
            key: Of the draw.
            settings: Of the model.
            n_trials: Of the step.
            n_time: Bins.
            read: Bins and channels that encoders read.
        """
        if key is None or settings.dropout == 0:
            return cls()
        kept = 1 - settings.dropout
        encoded = 2 * settings.encoder.units
        shapes = {"read": read, "summary": (encoded,), "states": (n_time + 1, settings.units)}
        if settings.controls:
            shapes |= {"encoded": (n_time, encoded), "factors": (n_time, settings.factors)}
        keys = jax.random.split(key, len(shapes))
        return cls(
            **{
                name: jax.random.bernoulli(each, kept, (n_trials, *shape)) / kept
                for each, (name, shape) in zip(keys, shapes.items(), strict=True)
            }
        )

    @staticmethod
    def on(values: Array, mask: Array | None) -> Array:
        """Values under a mask."""
        return values if mask is None else jnp.asarray(values * mask)
