"""The expansion network: where the linearisation of a step is taken."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from ctd_models_jax.cells import NONLINEARITIES


class Expansion(eqx.Module):
    """A residual network v <- φ(v + W v + b), as wide as its input (Smith et al. 2021, section 3.2).

    Attributes:
        weights: W of each layer, (width, width); zeros at first, so that points start near the states.
        biases: b of each layer, (width,); zeros at first, of relu layers 0.01.
        activation: φ, ``tanh`` or ``relu``.
    """

    weights: list[Array]
    biases: list[Array]
    activation: str = eqx.field(static=True)

    @classmethod
    def start(cls, width: int, layers: int, activation: str) -> Expansion:
        """A network that is near the identity."""
        bias = 0.01 if activation == "relu" else 0.0
        weights = [jnp.zeros((width, width)) for _ in range(layers)]
        return cls(weights, [jnp.full(width, bias) for _ in range(layers)], activation)

    def __call__(self, state: Array) -> Array:
        """The expansion points (..., width)."""
        v, phi = state, NONLINEARITIES[self.activation]
        for weight, bias in zip(self.weights, self.biases, strict=True):
            v = phi(v + v @ weight.T + bias)
        return v
