"""Dynamics without a portable form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from .base import Dynamics
from .checks import whole_number
from .nonlinearity import FloatArray


class Opaque(Dynamics):
    """Dynamics that can't be evaluated outside the code that wrote them; every evaluation says so.

    Args:
        state_size: Length of the state axis; 0 when unknown.
        input_size: Length of the input axis; 0 when autonomous or unknown.
        inputs: Signals that make up u.
        noise_std: Of the process noise.
    """

    kind = "opaque"
    setting_names = ("state_size", "input_size")

    def __init__(
        self,
        state_size: int = 0,
        input_size: int = 0,
        *,
        inputs: Sequence[str] = ("inputs",),
        noise_std: float = 0.0,
    ) -> None:
        state_size = whole_number("state_size", state_size, least=0)
        input_size = whole_number("input_size", input_size, least=0)
        super().__init__(state_size, input_size, inputs=inputs, noise_std=noise_std)

    def _step(self, x: FloatArray, u: FloatArray) -> FloatArray:
        self._refuse(x, u)

    def _step_and_jacobian(self, x: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        self._refuse(x, u)

    def _jacobian_input(self, x: FloatArray, u: FloatArray) -> FloatArray:
        self._refuse(x, u)

    def _refuse(self, x: FloatArray, u: FloatArray) -> NoReturn:
        raise ValueError(
            f"opaque dynamics can't be evaluated (asked at x {x.shape}, u {u.shape}): the file has no "
            f"portable equation; write one of the known kinds, or leave analyses of dynamics out"
        )
