"""Affine dynamics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .base import Dynamics, leading_shape
from .checks import finite_array
from .nonlinearity import FloatArray


class Affine(Dynamics):
    """x' = A x + B u + c.

    Args:
        A: (state, state).
        B: (state, input), or None for autonomous dynamics.
        c: (state,), or None for zero.
        inputs: Signals that make up u.
        noise_std: Of the process noise left out.
    """

    kind = "affine"
    parameter_names = ("A", "B", "c")

    def __init__(
        self,
        A: ArrayLike,
        B: ArrayLike | None = None,
        c: ArrayLike | None = None,
        *,
        inputs: Sequence[str] = ("inputs",),
        noise_std: float = 0.0,
    ) -> None:
        size = len(np.atleast_1d(np.asarray(A)))
        self.A = finite_array("A", A, {"state": size, "previous state": size})
        self.B = finite_array("B", np.zeros((size, 0)) if B is None else B, {"state": size, "input": None})
        self.c = finite_array("c", np.zeros(size) if c is None else c, {"state": size})
        super().__init__(size, self.B.shape[1], inputs=inputs, noise_std=noise_std)

    def _step(self, x: FloatArray, u: FloatArray) -> FloatArray:
        return x @ self.A.T + u @ self.B.T + self.c

    def _step_and_jacobian(self, x: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self._step(x, u), np.broadcast_to(self.A, leading_shape(x, u) + self.A.shape).copy()

    def _jacobian_input(self, x: FloatArray, u: FloatArray) -> FloatArray:
        return np.broadcast_to(self.B, leading_shape(x, u) + self.B.shape).copy()
