"""Gated recurrent unit (Cho et al. 2014), in both places where its reset gate is put."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .base import Dynamics, add_to_diagonal
from .checks import finite_array, finite_number, one_of
from .nonlinearity import FloatArray, sigmoid


class _Gates(NamedTuple):
    """Reset, update and candidate (..., state); recurrent is U_n h + b_hn, of `after` only."""

    reset: FloatArray
    update: FloatArray
    candidate: FloatArray
    recurrent: FloatArray


class GRU(Dynamics):
    """h' = (1 - z) n + z h, with the rows of every weight in torch's order r, z, n.

    r = sigmoid(W_r u + b_ir + U_r h + b_hr), z likewise, and the candidate is, for
    `reset="after"` (torch, cuDNN), n = tanh(W_n u + b_in + r * (U_n h + b_hn)), and for
    `reset="before"` (Cho et al. 2014, LFADS), n = tanh(W_n u + b_in + U_n (r * h) + b_hn).

    Args:
        weight_input: W, (3·state, input).
        weight_state: U, (3·state, state).
        bias_input: b_i, (3·state,).
        bias_state: b_h, (3·state,).
        reset: Where the reset gate acts.
        clip: New states are clipped to [-clip, clip], as LFADS does; None for no clipping.
        inputs: Signals that make up u.
        noise_std: Of the process noise left out.
    """

    kind = "gru"
    parameter_names = ("weight_input", "weight_state", "bias_input", "bias_state")
    setting_names = ("reset", "clip")

    def __init__(
        self,
        weight_input: ArrayLike,
        weight_state: ArrayLike,
        bias_input: ArrayLike,
        bias_state: ArrayLike,
        *,
        reset: str = "after",
        clip: float | None = None,
        inputs: Sequence[str] = ("inputs",),
        noise_std: float = 0.0,
    ) -> None:
        shape = np.shape(weight_state)
        size = shape[-1] if len(shape) else 0
        self.weight_state = finite_array("weight_state", weight_state, {"3·state": 3 * size, "state": size})
        self.weight_input = finite_array("weight_input", weight_input, {"3·state": 3 * size, "input": None})
        self.bias_input = finite_array("bias_input", bias_input, {"3·state": 3 * size})
        self.bias_state = finite_array("bias_state", bias_state, {"3·state": 3 * size})
        self.reset = one_of("reset", reset, ("after", "before"))
        self.clip = None if clip is None else finite_number("clip", clip, above=0.0)
        # (gate, state, ...): the three blocks of rows, as views.
        self._U = self.weight_state.reshape(3, size, size)
        self._W = self.weight_input.reshape(3, size, -1)
        super().__init__(size, self.weight_input.shape[1], inputs=inputs, noise_std=noise_std)

    def _gates(self, h: FloatArray, u: FloatArray) -> _Gates:
        size = self.state_size
        driven = u @ self.weight_input.T + self.bias_input
        rows = 3 * size if self.reset == "after" else 2 * size
        recurrent = h @ self.weight_state[:rows].T + self.bias_state[:rows]
        gates = sigmoid(driven[..., : 2 * size] + recurrent[..., : 2 * size])
        reset, update = gates[..., :size], gates[..., size:]
        last = recurrent[..., 2 * size :]
        if self.reset == "after":
            mixed = reset * last
        else:
            mixed = (reset * h) @ self._U[2].T + self.bias_state[2 * size :]
        return _Gates(reset, update, np.tanh(driven[..., 2 * size :] + mixed), last)

    def _mix(self, h: FloatArray, gates: _Gates) -> FloatArray:
        new = gates.candidate + gates.update * (h - gates.candidate)
        return new if self.clip is None else np.clip(new, -self.clip, self.clip)

    def _slopes(self, h: FloatArray, gates: _Gates) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return the slopes that both Jacobians share.

        Of h' by the drives of update gate and candidate, of the candidate's drive by that of the
        reset gate, and 1 where the state isn't clipped.
        """
        reset, update, candidate, recurrent = gates
        by_update = (h - candidate) * update * (1.0 - update)
        by_candidate = (1.0 - update) * (1.0 - candidate**2)
        through_reset = (recurrent if self.reset == "after" else h) * reset * (1.0 - reset)
        free = np.ones_like(update)
        if self.clip is not None:
            free = (np.abs(candidate + update * (h - candidate)) < self.clip).astype(np.float64)
        return by_update * free, by_candidate * free, through_reset, free

    def _step(self, x: FloatArray, u: FloatArray) -> FloatArray:
        return self._mix(x, self._gates(x, u))

    def _step_and_jacobian(self, x: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        gates = self._gates(x, u)
        by_update, by_candidate, through_reset, free = self._slopes(x, gates)
        if self.reset == "after":
            by_gate = np.stack([by_candidate * through_reset, by_update, by_candidate * gates.reset])
            jacobian = _scaled_rows(by_gate, self._U)
        else:
            gated = through_reset[..., None] * self._U[0]
            add_to_diagonal(gated, gates.reset)
            jacobian = by_candidate[..., None] * (self._U[2] @ gated)
            jacobian += by_update[..., None] * self._U[1]
        add_to_diagonal(jacobian, gates.update * free)
        return self._mix(x, gates), jacobian

    def _jacobian_input(self, x: FloatArray, u: FloatArray) -> FloatArray:
        gates = self._gates(x, u)
        by_update, by_candidate, through_reset, _ = self._slopes(x, gates)
        if self.reset == "after":
            return _scaled_rows(np.stack([by_candidate * through_reset, by_update, by_candidate]), self._W)
        jacobian = _scaled_rows(np.stack([by_update, by_candidate]), self._W[1:])
        return jacobian + by_candidate[..., None] * (self._U[2] @ (through_reset[..., None] * self._W[0]))


def _scaled_rows(scales: FloatArray, matrices: FloatArray) -> FloatArray:
    """Return the sum over gates of diag(scales) @ matrices, (..., state, column).

    Args:
        scales: (gate, ..., state).
        matrices: (gate, state, column).
    """
    gates, *lead, size = scales.shape
    columns = matrices.shape[-1]
    rows = np.ascontiguousarray(scales.reshape(gates, -1, size).transpose(2, 1, 0))
    result = np.empty((rows.shape[1], size, columns))
    # One product per row of the state, written in place: the large result is touched only once.
    np.matmul(rows, np.ascontiguousarray(matrices.transpose(1, 0, 2)), out=result.transpose(1, 0, 2))
    return result.reshape(*lead, size, columns)
