"""What every kind of dynamics shares: x[k] = F(x[k-1], u[k]), checked, batched, in float64."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from .checks import finite_number
from .nonlinearity import FloatArray
from .probe import PROBE_TOLERANCE, Probe


class Dynamics(ABC):
    """A portable vector field: the state after input k is F(state before it, input k).

    A kind gives `_step`, `_step_and_jacobian` and `_jacobian_input`, which receive arrays that
    are already checked. Leading axes are free and broadcast.

    Attributes:
        kind: Its name in files.
        inputs: Names of the signals whose concatenation is u; () for autonomous dynamics.
        noise_std: Standard deviation, per bin, of the process noise that F leaves out.
        state_size: Length of the state axis.
        input_size: Length of the input axis.
    """

    kind: ClassVar[str]
    # Attributes of the instance that are the parameters, and those that are the kind's own attributes
    # in files (one that is None is left out there).
    parameter_names: ClassVar[tuple[str, ...]] = ()
    setting_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, state_size: int, input_size: int, *, inputs: Sequence[str], noise_std: float) -> None:
        if isinstance(inputs, str):
            raise TypeError(f"inputs: expected a sequence of signal names, got the string {inputs!r}")
        # Dynamics without an input width are autonomous, whatever signals are named by default.
        self.inputs = tuple(inputs) if input_size else ()
        if input_size and not self.inputs:
            raise ValueError(
                f"inputs: expected the signals that make up {input_size} input channels, got none"
            )
        self.noise_std = finite_number("noise_std", noise_std, least=0.0)
        self.state_size = state_size
        self.input_size = input_size

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, ArrayLike], **settings: Any) -> Self:
        """Rebuild from named parameters and attributes; KeyError names a parameter that is missing."""
        return cls(**{name: parameters[name] for name in cls.parameter_names}, **settings)

    @abstractmethod
    def _step(self, x: FloatArray, u: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _step_and_jacobian(self, x: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray]: ...

    @abstractmethod
    def _jacobian_input(self, x: FloatArray, u: FloatArray) -> FloatArray: ...

    @property
    def parameters(self) -> dict[str, FloatArray]:
        """The parameters by name, as under `/dynamics/parameters`."""
        return {name: getattr(self, name) for name in self.parameter_names}

    @property
    def settings(self) -> dict[str, Any]:
        """The kind's own attributes."""
        values = {name: getattr(self, name) for name in self.setting_names}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def attributes(self) -> dict[str, Any]:
        """All attributes of `/dynamics` but `kind`: the kind's own, `inputs` and `noise_std`."""
        return {**self.settings, "inputs": self.inputs, "noise_std": self.noise_std}

    def step(self, x: ArrayLike, u: ArrayLike | None = None, mode: ArrayLike | None = None) -> FloatArray:
        """Return F(x, u).

        Args:
            x: (..., state).
            u: (..., input), broadcast against x; None only for autonomous dynamics.
            mode: (...,) integers, for kinds with modes only.

        Returns:
            (..., state), float64.

        Raises:
            ValueError: A last axis has the wrong length, or u or mode is missing or out of place.
        """
        return self._step(*self._point(x, u, mode))

    def jacobian_state(
        self, x: ArrayLike, u: ArrayLike | None = None, mode: ArrayLike | None = None
    ) -> FloatArray:
        """Return dF/dx at (x, u), (..., state, state): row i is the gradient of new state i."""
        return self._step_and_jacobian(*self._point(x, u, mode))[1]

    def step_and_jacobian(
        self, x: ArrayLike, u: ArrayLike | None = None, mode: ArrayLike | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return F(x, u) and dF/dx for the price of the second: what a Newton iteration needs."""
        return self._step_and_jacobian(*self._point(x, u, mode))

    def jacobian_input(
        self, x: ArrayLike, u: ArrayLike | None = None, mode: ArrayLike | None = None
    ) -> FloatArray:
        """Return dF/du at (x, u), (..., state, input)."""
        return self._jacobian_input(*self._point(x, u, mode))

    def probe_error(self, probe: Probe) -> float:
        """Return max|F(x, u) - next_state| / (1 + max|x|) over the probe; inf when F isn't finite."""
        with np.errstate(all="ignore"):
            got = self.step(probe.state, probe.input, probe.mode)
        error = np.abs(got - probe.next_state).max() / (1.0 + np.abs(probe.state).max())
        return float(error) if np.isfinite(error) else float("inf")

    def check_probe(self, probe: Probe) -> None:
        """Refuse parameters that don't reproduce the writer's own next states.

        Raises:
            ValueError: The probe's error is above 1e-5, or its axes don't fit.
        """
        error = self.probe_error(probe)
        if error > PROBE_TOLERANCE:
            raise ValueError(
                f"{self.kind} dynamics miss the writer's own next states by {error:.3g} of 1 + max|x|, "
                f"more than {PROBE_TOLERANCE:g}"
            )

    def __repr__(self) -> str:
        sizes = {"state": self.state_size, "input": self.input_size}
        listed = ", ".join(f"{name}={value!r}" for name, value in {**sizes, **self.settings}.items())
        return f"{type(self).__name__}({listed})"

    def _point(
        self, x: ArrayLike, u: ArrayLike | None, mode: ArrayLike | None
    ) -> tuple[FloatArray, FloatArray]:
        if mode is not None:
            raise ValueError(f"{self.kind} dynamics have no modes, got mode={np.asarray(mode)!r}")
        if u is None and self.input_size:
            raise ValueError(
                f"expected u with axes (..., input={self.input_size}), the concatenation of "
                f"{', '.join(self.inputs)}, got none"
            )
        return self._last_axis("x", x, "state", self.state_size), self._last_axis(
            "u", np.zeros(0) if u is None else u, "input", self.input_size
        )

    @staticmethod
    def _last_axis(name: str, value: ArrayLike, axis: str, size: int) -> FloatArray:
        array = np.asarray(value, dtype=np.float64)
        if array.ndim == 0 or array.shape[-1] != size:
            raise ValueError(f"expected {name} with axes (..., {axis}={size}), got shape {array.shape}")
        return array


def add_to_diagonal(matrices: FloatArray, values: FloatArray | float) -> None:
    """Add `values` (..., state) to the diagonals of `matrices` (..., state, state) in place."""
    np.einsum("...ii->...i", matrices)[...] += values


def leading_shape(x: FloatArray, u: FloatArray) -> tuple[int, ...]:
    """Return the broadcast shape of all axes but the last."""
    return np.broadcast_shapes(x.shape[:-1], u.shape[:-1])
