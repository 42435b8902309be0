"""Neural ordinary differential equation over one bin, by a fixed-step integrator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .base import leading_shape
from .checks import finite_number, one_of, whole_number
from .mlp import MLPDynamics
from .nonlinearity import FloatArray

# Explicit Runge-Kutta tableaus in which each stage starts from the one before alone:
# (how far along the stage before this one starts, weight of each stage in the step).
METHODS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "euler": ((0.0,), (1.0,)),
    "midpoint": ((0.0, 0.5), (0.0, 1.0)),
    "rk4": ((0.0, 0.5, 0.5, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
}


class OdeMLP(MLPDynamics):
    """x' is x after one bin of dx/dt = MLP([x, u]), u held, in `substeps` equal steps.

    The Jacobians are those of this discrete map, not of the flow.

    Args:
        weights: (out, in) of each layer; the first takes [x, u], the last gives dx/dt.
        biases: (out,) of each layer.
        dt: Duration of one bin in the equation's own time.
        method: euler, midpoint or rk4.
        substeps: Integration steps per bin.
        activation: Between layers, by name.
        inputs: Signals that make up u.
        noise_std: Of the process noise left out.
    """

    kind = "ode_mlp"
    setting_names = ("dt", "method", "substeps", "activation")

    def __init__(
        self,
        weights: Sequence[ArrayLike],
        biases: Sequence[ArrayLike],
        *,
        dt: float,
        method: str,
        activation: str,
        substeps: int = 1,
        inputs: Sequence[str] = ("inputs",),
        noise_std: float = 0.0,
    ) -> None:
        self.dt = finite_number("dt", dt, above=0.0)
        self.method = one_of("method", method, tuple(METHODS))
        self.substeps = whole_number("substeps", substeps, least=1)
        super().__init__(weights, biases, activation=activation, inputs=inputs, noise_std=noise_std)

    def _step(self, x: FloatArray, u: FloatArray) -> FloatArray:
        starts, weights = METHODS[self.method]
        step = self.dt / self.substeps
        for _ in range(self.substeps):
            slope, total = np.zeros(()), np.zeros(())
            for start, weight in zip(starts, weights, strict=True):
                slope = self.mlp(x + start * step * slope, u)
                total = total + weight * slope
            x = x + step * total
        return x

    def _step_and_jacobian(self, x: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self._step_and_tangent(x, u, np.eye(self.state_size), by_input=False)

    def _jacobian_input(self, x: FloatArray, u: FloatArray) -> FloatArray:
        return self._step_and_tangent(x, u, np.zeros((self.state_size, self.input_size)), by_input=True)[1]

    def _step_and_tangent(
        self, x: FloatArray, u: FloatArray, tangent: FloatArray, *, by_input: bool
    ) -> tuple[FloatArray, FloatArray]:
        """Carry dx/dp through every stage, p the state before the bin or the input (..., state, p)."""
        starts, weights = METHODS[self.method]
        step = self.dt / self.substeps
        tangent = np.broadcast_to(tangent, (*leading_shape(x, u), *tangent.shape))
        for _ in range(self.substeps):
            slope, slope_tangent = np.zeros(()), np.zeros(())
            total, total_tangent = np.zeros(()), np.zeros(())
            for start, weight in zip(starts, weights, strict=True):
                at, at_tangent = x + start * step * slope, tangent + start * step * slope_tangent
                slope, slope_tangent = self._slope_and_tangent(at, u, at_tangent, by_input=by_input)
                total, total_tangent = total + weight * slope, total_tangent + weight * slope_tangent
            x, tangent = x + step * total, tangent + step * total_tangent
        return x, tangent

    def _slope_and_tangent(
        self, x: FloatArray, u: FloatArray, tangent: FloatArray, *, by_input: bool
    ) -> tuple[FloatArray, FloatArray]:
        size = self.state_size
        slope, jacobian = self.mlp.with_jacobian(x, u, slice(0, None if by_input else size))
        carried = jacobian[..., :size] @ tangent
        return slope, carried + jacobian[..., size:] if by_input else carried
