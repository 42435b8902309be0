"""Jacobian switching linear dynamical system: a linearisation about a point that a network chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .base import Dynamics, leading_shape
from .checks import finite_array, one_of
from .curvature import curvature
from .gru import GRU
from .nonlinearity import FloatArray, nonlinearity
from .rnn import RNN

CELLS: dict[str, type[GRU] | type[RNN]] = {"gru": GRU, "rnn": RNN}


class JSLDS(Dynamics):
    """x' = e + dF/dh(e, u*) (x - e) + dF/du(e, u*) (u - u*), F a cell (Smith et al. 2021).

    The expansion point comes from a residual network, v <- phi(v + W v + b) in each layer: e = E(x), or
    with `input_expansion="learned"` (e, u*) = E([x, u]). Otherwise u* is `input_point`; either way those
    inputs that are kept have u* = u. The zeroth-order term of the expansion is e, not F(e, u*).

    Args:
        cell: F. Of an RNN the nonlinearity is tanh, relu or identity.
        weights: W of each layer, (width, width), width = state, or state + input for a learned u*.
        biases: b of each layer, (width,).
        input_point: u*, (input,); zeros by default. Not for a learned one.
        input_kept: (input,) of 0 and 1: 1 where u* = u; zeros by default.
        input_expansion: Whether u* is "fixed" or "learned".
        activation: phi, by name.
        noise_std: Of the process noise left out. The cell's own doesn't count; its inputs do.
    """

    kind = "jslds"
    setting_names = ("cell", "reset", "clip", "alpha", "nonlinearity", "activation", "input_expansion")

    def __init__(
        self,
        cell: GRU | RNN,
        weights: Sequence[ArrayLike],
        biases: Sequence[ArrayLike],
        *,
        input_point: ArrayLike | None = None,
        input_kept: ArrayLike | None = None,
        input_expansion: str = "fixed",
        activation: str = "tanh",
        noise_std: float = 0.0,
    ) -> None:
        self.cell = cell
        self.input_expansion = one_of("input_expansion", input_expansion, ("fixed", "learned"))
        self.activation = activation
        self._phi, self._curvature = nonlinearity(activation), curvature(cell)
        state, inputs = cell.state_size, cell.input_size
        if not len(weights) or len(weights) != len(biases):
            raise ValueError(
                f"expected as many weights as biases, one or more, got {len(weights)} and {len(biases)}"
            )
        width = state + inputs if self.learned else state
        square = {"width": width, "previous width": width}
        self.weights = [finite_array(f"expansion_weight_{k}", W, square) for k, W in enumerate(weights)]
        self.biases = [finite_array(f"expansion_bias_{k}", b, {"width": width}) for k, b in enumerate(biases)]
        if self.learned and input_point is not None:
            raise ValueError("input_point: expected none where the expansion network gives u*, got one")
        self.input_point = None if self.learned else _vector("input_point", input_point, inputs)
        self.input_kept = _vector("input_kept", input_kept, inputs)
        if not np.isin(self.input_kept, (0.0, 1.0)).all():
            raise ValueError(f"input_kept: expected 0 and 1, got {self.input_kept}")
        self._kept = self.input_kept == 1.0
        super().__init__(state, inputs, inputs=cell.inputs, noise_std=noise_std)

    @property
    def learned(self) -> bool:
        """Whether the expansion network gives u*."""
        return self.input_expansion == "learned"

    @property
    def parameters(self) -> dict[str, FloatArray]:
        """The cell's own, expansion_weight_0, expansion_bias_0, ..., input_point (if fixed), input_kept."""
        layers = enumerate(zip(self.weights, self.biases, strict=True))
        expansion = {
            f"expansion_{name}_{k}": value
            for k, pair in layers
            for name, value in zip(("weight", "bias"), pair, strict=True)
        }
        point = {} if self.input_point is None else {"input_point": self.input_point}
        return {**self.cell.parameters, **expansion, **point, "input_kept": self.input_kept}

    @property
    def settings(self) -> dict[str, Any]:
        """The cell's kind and own attributes, and those of the expansion."""
        own = {"activation": self.activation, "input_expansion": self.input_expansion}
        return {"cell": self.cell.kind, **self.cell.settings, **own}

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, ArrayLike], **settings: Any) -> Self:
        """Rebuild from parameters named as in a file; KeyError names one that is missing."""
        own = {name: settings.pop(name) for name in ("activation", "input_expansion") if name in settings}
        own["noise_std"] = settings.pop("noise_std", 0.0)
        kind = CELLS[one_of("cell", settings.pop("cell"), tuple(CELLS))]
        cell = kind.from_parameters(parameters, **settings)
        layers = range(max(1, sum(name.startswith("expansion_weight_") for name in parameters)))
        weights, biases = ([parameters[f"expansion_{n}_{k}"] for k in layers] for n in ("weight", "bias"))
        point = None if own.get("input_expansion") == "learned" else parameters["input_point"]
        return cls(cell, weights, biases, input_point=point, input_kept=parameters["input_kept"], **own)

    def expansion_point(self, x: ArrayLike, u: ArrayLike | None = None) -> tuple[FloatArray, FloatArray]:
        """Return where F is linearised: e (..., state) and u* (..., input).

        Args:
            x: (..., state), before the step.
            u: (..., input) of the step; None only for autonomous dynamics.
        """
        z, _ = self._expansion(*self._point(x, u, None))
        return z[..., : self.state_size], z[..., self.state_size :]

    def local_jacobian_state(self, x: ArrayLike, u: ArrayLike | None = None) -> FloatArray:
        """Return dF/dh(e, u*), (..., state, state): the linear system in force at (x, u).

        `jacobian_state` is that of the whole map, in which e moves with x.
        """
        return self.cell.jacobian_state(*self.expansion_point(x, u))

    def local_jacobian_input(self, x: ArrayLike, u: ArrayLike | None = None) -> FloatArray:
        """Return dF/du(e, u*), (..., state, input)."""
        return self.cell.jacobian_input(*self.expansion_point(x, u))

    def _expansion(self, x: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the joined z = [e, u*] and what [x, u] is away from it."""
        joined = _join(x, u)
        v = joined if self.learned else joined[..., : self.state_size]
        for weight, bias in zip(self.weights, self.biases, strict=True):
            v = self._phi.function(v + v @ weight.T + bias)
        z = v.copy() if self.input_point is None else _join(v, self.input_point)
        np.copyto(z[..., self.state_size :], joined[..., self.state_size :], where=self._kept)
        return z, joined - z

    def _expansion_slope(self, x: FloatArray, u: FloatArray) -> FloatArray:
        """Return dz/d[x, u], (..., state + input, state + input)."""
        v = _join(x, u) if self.learned else x
        slope = np.eye(v.shape[-1])
        for weight, bias in zip(self.weights, self.biases, strict=True):
            drive = v + v @ weight.T + bias
            slope = self._phi.derivative(drive)[..., None] * (slope + weight @ slope)
            v = self._phi.function(drive)
        size, width = self.state_size + self.input_size, v.shape[-1]
        whole = np.zeros((*leading_shape(x, u), size, size))
        whole[..., :width, :width] = slope
        kept = self.state_size + np.flatnonzero(self._kept)
        whole[..., kept, :] = 0.0
        whole[..., kept, kept] = 1.0
        return whole

    def _step(self, x: FloatArray, u: FloatArray) -> FloatArray:
        z, away = self._expansion(x, u)
        return z[..., : self.state_size] + self._curvature.along(z, away)

    def _jacobian(self, x: FloatArray, u: FloatArray) -> FloatArray:
        """Return the map's derivative by [x, u]: with z that moves, de + DF + (D²F[away, ·] - DF) dz."""
        z, away = self._expansion(x, u)
        slope = self._expansion_slope(x, u)
        jacobian, change = self._curvature.jacobian_and_change(z, away)
        return slope[..., : self.state_size, :] + jacobian + (change - jacobian) @ slope

    def _step_and_jacobian(self, x: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self._step(x, u), self._jacobian(x, u)[..., : self.state_size]

    def _jacobian_input(self, x: FloatArray, u: FloatArray) -> FloatArray:
        return self._jacobian(x, u)[..., self.state_size :]


def _vector(name: str, value: ArrayLike | None, size: int) -> FloatArray:
    return finite_array(name, np.zeros(size) if value is None else value, {"input": size})


def _join(x: FloatArray, u: FloatArray) -> FloatArray:
    """Return [x, u] with their leading axes broadcast."""
    lead = leading_shape(x, u)
    return np.concatenate([np.broadcast_to(v, (*lead, v.shape[-1])) for v in (x, u)], axis=-1)
