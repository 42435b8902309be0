"""A plain perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ctd_models_jax.mrsds.regions import ACTIVATIONS


class Perceptron(eqx.Module):
    """Layers W v + b with an activation between them.

    Attributes:
        weights: (out, in) of each layer.
        biases: (out,) of each layer.
        activation: Between layers, by name.
    """

    weights: list[Array]
    biases: list[Array]
    activation: str = eqx.field(static=True)

    @classmethod
    def draw(cls, key: Array, sizes: Sequence[int], activation: str, *, gain: float = 1.0) -> Perceptron:
        """Glorot-uniform weights, of the last layer times `gain`; no biases yet.

        Args:
            key: Of the draw.
            sizes: Of the input, the hidden layers and the output.
            activation: Between layers.
            gain: Of the last layer.
        """
        weights = []
        for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            bound = math.sqrt(6 / max(fan_in + fan_out, 1)) * (gain if layer == len(sizes) - 2 else 1.0)
            shape = (fan_out, fan_in)
            weights.append(bound * jax.random.uniform(jax.random.fold_in(key, layer), shape, minval=-1.0))
        return cls(weights, [jnp.zeros(size) for size in sizes[1:]], activation)

    def __call__(self, values: Array) -> Array:
        """Outputs (..., out) of values (..., in)."""
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = values @ weight.T + bias
            if layer < len(self.weights) - 1:
                values = ACTIVATIONS[self.activation](values)
        return values
