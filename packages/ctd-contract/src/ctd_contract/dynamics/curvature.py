"""Cells to second order: what a linearisation whose point moves with the state needs of them.

A cell F(h, u) is taken as a function of the joined point p = [h, u]; a direction w is joined alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .gru import GRU
from .nonlinearity import FloatArray, nonlinearity, sigmoid
from .rnn import RNN

# Second derivatives of the nonlinearities that a cell may have.
_SECOND: dict[str, Callable[[FloatArray], FloatArray]] = {
    "tanh": lambda x: -2.0 * np.tanh(x) * (1.0 - np.tanh(x) ** 2),
    "relu": np.zeros_like,
    "identity": np.zeros_like,
}


class Curvature(ABC):
    """First and second derivatives of a cell, along directions."""

    @abstractmethod
    def along(self, point: FloatArray, direction: FloatArray) -> FloatArray:
        """Return DF(p) w, (..., state), without the matrix DF."""

    @abstractmethod
    def jacobian_and_change(self, point: FloatArray, direction: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return DF(p) and its derivative along w, D²F(p)[w, ·]: both (..., state, state + input)."""


class RNNCurvature(Curvature):
    """That of (1 - alpha) h + alpha phi(M p + b), M = [W, B]."""

    def __init__(self, cell: RNN) -> None:
        if cell.nonlinearity not in _SECOND:
            raise ValueError(
                f"cell: expected a nonlinearity among {', '.join(_SECOND)}, got {cell.nonlinearity!r}"
            )
        self._cell = cell
        self._M = np.concatenate([cell.weight_state, cell.weight_input], axis=1)
        self._slope, self._second = nonlinearity(cell.nonlinearity).derivative, _SECOND[cell.nonlinearity]
        self._leak = (1.0 - cell.alpha) * np.eye(*self._M.shape)

    def _drive(self, point: FloatArray) -> FloatArray:
        return point @ self._M.T + self._cell.bias

    def along(self, point: FloatArray, direction: FloatArray) -> FloatArray:
        """Return DF(p) w."""
        alpha, size = self._cell.alpha, self._cell.state_size
        return (1.0 - alpha) * direction[..., :size] + alpha * self._slope(self._drive(point)) * (
            direction @ self._M.T
        )

    def jacobian_and_change(self, point: FloatArray, direction: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return DF(p) and its derivative along w."""
        alpha, drive = self._cell.alpha, self._drive(point)
        jacobian = _rows(alpha * self._slope(drive), self._M) + self._leak
        return jacobian, _rows(alpha * self._second(drive) * (direction @ self._M.T), self._M)


class _Path(NamedTuple):
    """Gates at p and how fast they change along w, (..., state) each.

    Attributes:
        gated: What the reset gate multiplies: U_n h + b_hn (`after`) or h (`before`).
        lag: h - n.
        free: 1 where the new state isn't clipped.
    """

    r: FloatArray
    z: FloatArray
    n: FloatArray
    gated: FloatArray
    dr: FloatArray
    dz: FloatArray
    dn: FloatArray
    dgated: FloatArray
    lag: FloatArray
    dlag: FloatArray
    free: FloatArray


class GRUCurvature(Curvature):
    """That of (1 - z) n + z h, with the reset gate in either place."""

    def __init__(self, cell: GRU) -> None:
        size = cell.state_size
        self._cell, self._size, self._after = cell, size, cell.reset == "after"
        U, W = cell.weight_state.reshape(3, size, size), cell.weight_input.reshape(3, size, -1)
        joined = np.concatenate([U, W], axis=2)
        self._gates = joined[:2].reshape(2 * size, -1)
        self._M_r, self._M_z, self._U = joined[0], joined[1], U[2]
        self._state = np.eye(*self._M_r.shape)
        # The candidate's own rows, apart: what acts through the reset gate (`after`), and what doesn't.
        self._recurrent = np.concatenate([U[2], np.zeros_like(W[2])], axis=1)
        self._driven = np.concatenate([np.zeros_like(U[2]), W[2]], axis=1)
        self._bias_gates = (cell.bias_input + cell.bias_state)[: 2 * size]
        self._bias_input, self._bias_state = cell.bias_input[2 * size :], cell.bias_state[2 * size :]

    def along(self, point: FloatArray, direction: FloatArray) -> FloatArray:
        """Return DF(p) w."""
        at = self._path(point, direction)
        return at.free * ((1.0 - at.z) * at.dn + at.dz * at.lag + at.z * direction[..., : self._size])

    def jacobian_and_change(self, point: FloatArray, direction: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return DF(p) and its derivative along w."""
        at = self._path(point, direction)
        # By the drives of candidate, update gate and reset gate, and how these slopes change along w.
        flat = 1.0 - at.n**2
        candidate, update = (1.0 - at.z) * flat, at.lag * at.z * (1.0 - at.z)
        reset = at.gated * at.r * (1.0 - at.r)
        dcandidate = -at.dz * flat - 2.0 * (1.0 - at.z) * at.n * at.dn
        dupdate = at.dlag * at.z * (1.0 - at.z) + at.lag * (1.0 - 2.0 * at.z) * at.dz
        dreset = at.dgated * at.r * (1.0 - at.r) + at.gated * (1.0 - 2.0 * at.r) * at.dr
        inner = self._through_reset(reset, at.r) + self._driven
        jacobian = _rows(candidate, inner) + _rows(update, self._M_z) + _rows(at.z, self._state)
        change = _rows(dcandidate, inner) + _rows(candidate, self._through_reset(dreset, at.dr))
        change += _rows(dupdate, self._M_z) + _rows(at.dz, self._state)
        return _rows(at.free, jacobian), _rows(at.free, change)

    def _through_reset(self, slope: FloatArray, gate: FloatArray) -> FloatArray:
        """Return the candidate's drive by p, but for what the input adds: linear in slope and gate."""
        if self._after:
            return _rows(slope, self._M_r) + _rows(gate, self._recurrent)
        return self._U @ (_rows(slope, self._M_r) + _rows(gate, self._state))

    def _path(self, point: FloatArray, direction: FloatArray) -> _Path:
        size = self._size
        h, dh = point[..., :size], direction[..., :size]
        gates = sigmoid(point @ self._gates.T + self._bias_gates)
        dgates = gates * (1.0 - gates) * (direction @ self._gates.T)
        r, update, dr, dupdate = gates[..., :size], gates[..., size:], dgates[..., :size], dgates[..., size:]
        if self._after:
            gated, dgated = h @ self._U.T + self._bias_state, dh @ self._U.T
            mixed, dmixed = r * gated, dr * gated + r * dgated
        else:
            gated, dgated = h, dh
            mixed, dmixed = (r * h) @ self._U.T + self._bias_state, (dr * h + r * dh) @ self._U.T
        n = np.tanh(point @ self._driven.T + self._bias_input + mixed)
        dn = (1.0 - n**2) * (direction @ self._driven.T + dmixed)
        clip = self._cell.clip
        free = np.ones_like(n) if clip is None else (np.abs(n + update * (h - n)) < clip).astype(np.float64)
        return _Path(r, update, n, gated, dr, dupdate, dn, dgated, h - n, dh - dn, free)


def curvature(cell: GRU | RNN) -> Curvature:
    """Return the derivatives of a cell.

    Raises:
        ValueError: Its nonlinearity has no second derivative here.
    """
    return GRUCurvature(cell) if isinstance(cell, GRU) else RNNCurvature(cell)


def _rows(scales: FloatArray, matrices: FloatArray) -> FloatArray:
    """Return diag(scales) @ matrices."""
    return scales[..., None] * matrices
