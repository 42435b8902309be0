"""The proof that dynamics carry: points and where the writer's own framework says they go."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .checks import finite_array
from .nonlinearity import FloatArray

PROBE_SIZE = 64
PROBE_TOLERANCE = 1e-5


class Probe:
    """Points (x, u) and the writer's own F(x, u), evaluated in its own framework in float64.

    Attributes:
        state: float64 (point, state).
        input: float64 (point, input); input=0 for autonomous dynamics.
        next_state: float64 (point, state).
        mode: int64 (point,), or None when the dynamics have no modes.
    """

    def __init__(
        self,
        state: ArrayLike,
        input: ArrayLike | None,  # noqa: A002
        next_state: ArrayLike,
        mode: ArrayLike | None = None,
    ) -> None:
        self.state = finite_array("probe state", state, {"point": None, "state": None})
        points, size = self.state.shape
        if points == 0:
            raise ValueError("probe state: expected at least one point, got none")
        filled = np.zeros((points, 0)) if input is None else input
        self.input = finite_array("probe input", filled, {"point": points, "input": None})
        self.next_state = finite_array("probe next_state", next_state, {"point": points, "state": size})
        self.mode = (
            None if mode is None else finite_array("probe mode", mode, {"point": points}).astype(np.int64)
        )

    def __repr__(self) -> str:
        points, states = self.state.shape
        return f"Probe(point={points}, state={states}, input={self.input.shape[1]})"

    @staticmethod
    def points(
        states: ArrayLike, inputs: ArrayLike | None = None, seed: int = 0, *, n_points: int = PROBE_SIZE
    ) -> tuple[FloatArray, FloatArray]:
        """Draw visited states and the inputs that came next, to evaluate in the writer's framework.

        Args:
            states: (trial, time, state), row k after input k; or (point, state).
            inputs: (trial, time, input), or (point, input), or None.
            seed: Of the draw.
            n_points: How many; drawn with replacement only when fewer were visited.

        Returns:
            state (point, state) and input (point, input), float64. With a time axis the pair is
            states[trial, k - 1] and inputs[trial, k].

        Example:
            >>> state, u = Probe.points(np.zeros((10, 20, 3)), np.ones((10, 20, 2)))
            >>> state.shape, u.shape
            ((64, 3), (64, 2))
        """
        states = np.asarray(states)
        inputs = np.zeros((*states.shape[:-1], 0)) if inputs is None else np.asarray(inputs)
        if states.ndim not in (2, 3) or states.shape[:-1] != inputs.shape[:-1]:
            raise ValueError(
                f"expected states and inputs with axes (trial, time, ...) or (point, ...) alike, "
                f"got {states.shape} and {inputs.shape}"
            )
        if states.ndim == 3 and states.shape[1] > 1:
            states, inputs = states[:, :-1], inputs[:, 1:]
        n_visited = int(np.prod(states.shape[:-1]))
        if n_visited == 0:
            raise ValueError(f"expected at least one visited state, got states of shape {states.shape}")
        draw = np.random.default_rng(seed)
        rows = np.unravel_index(
            draw.choice(n_visited, n_points, replace=n_visited < n_points), states.shape[:-1]
        )
        return states[rows].astype(np.float64), inputs[rows].astype(np.float64)
