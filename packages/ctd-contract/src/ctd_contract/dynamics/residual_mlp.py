"""Residual multilayer perceptron: an Euler step of a learned vector field."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .base import add_to_diagonal, leading_shape
from .checks import finite_number
from .mlp import MLPDynamics
from .nonlinearity import FloatArray


class ResidualMLP(MLPDynamics):
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
    setting_names = ("delta", "activation")

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
        self.delta = finite_number("delta", delta)
        super().__init__(weights, biases, activation=activation, inputs=inputs, noise_std=noise_std)

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
