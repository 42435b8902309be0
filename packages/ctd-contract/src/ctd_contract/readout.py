"""How states become rates: a chain of affine layers, each with its nonlinearity."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from .dynamics.checks import finite_array, finite_number
from .dynamics.nonlinearity import FloatArray, nonlinearity


class Layer:
    """phi(W f + b).

    Args:
        weight: W, (out, in).
        bias: b, (out,); None for zero.
        nonlinearity: phi, by name.
    """

    def __init__(
        self, weight: ArrayLike, bias: ArrayLike | None = None, nonlinearity: str = "identity"
    ) -> None:
        self.weight = finite_array("weight", weight, {"out": None, "in": None})
        size = self.weight.shape[0]
        self.bias = finite_array("bias", np.zeros(size) if bias is None else bias, {"out": size})
        self.nonlinearity = nonlinearity
        self._phi = _nonlinearity(nonlinearity)

    def __call__(self, values: FloatArray) -> FloatArray:
        """Return the layer's output (..., out) for values (..., in)."""
        return self._phi.function(values @ self.weight.T + self.bias)

    def __repr__(self) -> str:
        return f"Layer({self.weight.shape[1]} -> {self.weight.shape[0]}, {self.nonlinearity})"


class Readout:
    """rate = scale · (the chain of layers)(state), in spikes/s; earlier layers give factors.

    Args:
        layers: From the state to the rate.
        scale: spikes/s per unit of the last layer: 1 / bin width (s) for models of expected counts
            per bin.
    """

    def __init__(self, layers: Sequence[Layer], *, scale: float = 1.0) -> None:
        if not len(layers):
            raise ValueError("expected one layer or more, got none; Readout.opaque() is the one without")
        for before, after in pairwise(layers):
            if after.weight.shape[1] != before.weight.shape[0]:
                raise ValueError(
                    f"expected a layer that takes {before.weight.shape[0]} values, got {after!r}"
                )
        self.layers = tuple(layers)
        self.scale = finite_number("scale", scale, above=0.0)

    @classmethod
    def opaque(cls) -> Self:
        """Return a readout without a portable form; evaluating it says so."""
        readout = cls.__new__(cls)
        readout.layers, readout.scale = (), 1.0
        return readout

    @property
    def is_opaque(self) -> bool:
        """Whether there is no portable form."""
        return not self.layers

    def evaluate(self, states: ArrayLike) -> FloatArray:
        """Return rates (..., neuron) in spikes/s for states (..., state)."""
        return self.scale * self._through(states, len(self.layers))

    def factors(self, states: ArrayLike, layer: int = 0) -> FloatArray:
        """Return the output of an earlier layer, (..., factor), for states (..., state)."""
        if not 0 <= layer < len(self.layers):
            raise ValueError(f"expected a layer from 0 to {len(self.layers) - 1}, got {layer}")
        return self._through(states, layer + 1)

    def _through(self, states: ArrayLike, n_layers: int) -> FloatArray:
        if self.is_opaque:
            raise ValueError("an opaque readout can't be evaluated: the file has no portable form of it")
        values = np.asarray(states, dtype=np.float64)
        expected = self.layers[0].weight.shape[1]
        if values.ndim == 0 or values.shape[-1] != expected:
            raise ValueError(f"expected states with axes (..., state={expected}), got shape {values.shape}")
        for layer in self.layers[:n_layers]:
            values = layer(values)
        return values

    def __repr__(self) -> str:
        return (
            "Readout.opaque()" if self.is_opaque else f"Readout({list(self.layers)!r}, scale={self.scale:g})"
        )


# The argument of Layer with the same name hides the function.
_nonlinearity = nonlinearity
