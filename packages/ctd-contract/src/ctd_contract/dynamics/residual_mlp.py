"""Residual multilayer perceptron: an Euler step of a learned vector field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .base import Dynamics, add_to_diagonal, leading_shape
from .checks import finite_number
from .mlp import MLP, layer_lists
from .nonlinearity import FloatArray


class ResidualMLP(Dynamics):
    """x' = x + delta · MLP([x, u]).

    Args:
        weights: (out, in) of each layer; the first takes [x, u], the last gives a change of x.
        biases: (out,) of each layer.
        delta: Scale of the change.
        activation: Between layers, by name.
        inputs: Signals that make up u.
        noise_std: Of the process noise left out.
    """

    kind = "residual_mlp"

    def __init__(
        self,
        weights: Sequence[ArrayLike],
        biases: Sequence[ArrayLike],
        *,
        delta: float,
        activation: str,
        inputs: Sequence[str] = ("inputs",),
        noise_std: float = 0.0,
    ) -> None:
        self.mlp = MLP(weights, biases, activation)
        self.delta = finite_number("delta", delta)
        self.activation = activation
        super().__init__(
            self.mlp.parameters,
            {"delta": self.delta, "activation": activation},
            state_size=self.mlp.state_size,
            input_size=self.mlp.input_size,
            inputs=inputs,
            noise_std=noise_std,
        )

    @classmethod
    def from_parameters(
        cls,
        parameters: Mapping[str, ArrayLike],
        settings: Mapping[str, Any],
        *,
        inputs: Sequence[str],
        noise_std: float,
    ) -> Self:
        """See Dynamics."""
        return cls(*layer_lists(parameters), **settings, inputs=inputs, noise_std=noise_std)

    def _step(self, x: FloatArray, u: FloatArray) -> FloatArray:
        return x + self.delta * self.mlp(x, u)

    def _step_and_jacobian(self, x: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        change, slope = self.mlp.with_jacobian(x, u, slice(0, self.state_size))
        # A perceptron of one layer has one slope for all points.
        jacobian = np.broadcast_to(slope, (*leading_shape(x, u), *slope.shape[-2:])) * self.delta
        add_to_diagonal(jacobian, 1.0)
        return x + self.delta * change, jacobian

    def _jacobian_input(self, x: FloatArray, u: FloatArray) -> FloatArray:
        slope = self.mlp.with_jacobian(x, u, slice(self.state_size, None))[1]
        return np.broadcast_to(slope, (*leading_shape(x, u), *slope.shape[-2:])) * self.delta
