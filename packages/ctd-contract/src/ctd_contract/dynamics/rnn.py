"""Vanilla and leaky recurrent networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .base import Dynamics, add_to_diagonal
from .checks import finite_array, finite_number
from .nonlinearity import FloatArray, nonlinearity


class RNN(Dynamics):
    """x' = (1 - alpha) x + alpha phi(W x + B u + b); alpha=1 is the vanilla network.

    Args:
        weight_state: W, (state, state).
        weight_input: B, (state, input).
        bias: b, (state,).
        alpha: Bin width over time constant, above 0.
        nonlinearity: phi, by name.
        inputs: Signals that make up u.
        noise_std: Of the process noise left out.
    """

    kind = "rnn"
    parameter_names = ("weight_state", "weight_input", "bias")
    setting_names = ("alpha", "nonlinearity")

    def __init__(
        self,
        weight_state: ArrayLike,
        weight_input: ArrayLike,
        bias: ArrayLike,
        *,
        alpha: float = 1.0,
        nonlinearity: str = "tanh",
        inputs: Sequence[str] = ("inputs",),
        noise_std: float = 0.0,
    ) -> None:
        size = len(np.atleast_1d(np.asarray(weight_state)))
        self.weight_state = finite_array(
            "weight_state", weight_state, {"state": size, "previous state": size}
        )
        self.weight_input = finite_array("weight_input", weight_input, {"state": size, "input": None})
        self.bias = finite_array("bias", bias, {"state": size})
        self.alpha = finite_number("alpha", alpha, above=0.0)
        self.nonlinearity = nonlinearity
        self._phi = _nonlinearity(nonlinearity)
        super().__init__(size, self.weight_input.shape[1], inputs=inputs, noise_std=noise_std)

    def _drive(self, x: FloatArray, u: FloatArray) -> FloatArray:
        return x @ self.weight_state.T + u @ self.weight_input.T + self.bias

    def _update(self, x: FloatArray, drive: FloatArray) -> FloatArray:
        return (1.0 - self.alpha) * x + self.alpha * self._phi.function(drive)

    def _gain(self, drive: FloatArray) -> FloatArray:
        return (self.alpha * self._phi.derivative(drive))[..., None]

    def _step(self, x: FloatArray, u: FloatArray) -> FloatArray:
        return self._update(x, self._drive(x, u))

    def _step_and_jacobian(self, x: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        drive = self._drive(x, u)
        jacobian = self._gain(drive) * self.weight_state
        add_to_diagonal(jacobian, 1.0 - self.alpha)
        return self._update(x, drive), jacobian

    def _jacobian_input(self, x: FloatArray, u: FloatArray) -> FloatArray:
        return self._gain(self._drive(x, u)) * self.weight_input


# The constructor's argument of the same name hides the function.
_nonlinearity = nonlinearity
