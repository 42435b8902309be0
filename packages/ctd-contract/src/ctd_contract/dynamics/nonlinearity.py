"""The named pointwise functions of dynamics and readouts, each with its derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class Nonlinearity(NamedTuple):
    """A pointwise function and its derivative, both of the value before it."""

    function: Callable[[FloatArray], FloatArray]
    derivative: Callable[[FloatArray], FloatArray]


def sigmoid(x: FloatArray) -> FloatArray:
    """1 / (1 + exp(-x)), written with tanh so that it never overflows."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _silu_slope(x: FloatArray) -> FloatArray:
    gate = sigmoid(x)
    return gate * (1.0 + x * (1.0 - gate))


def _sigmoid_slope(x: FloatArray) -> FloatArray:
    gate = sigmoid(x)
    return gate * (1.0 - gate)


NONLINEARITIES: dict[str, Nonlinearity] = {
    "identity": Nonlinearity(lambda x: x, np.ones_like),
    "tanh": Nonlinearity(np.tanh, lambda x: 1.0 - np.tanh(x) ** 2),
    # The slope of relu at 0 is 0, as in torch and JAX.
    "relu": Nonlinearity(lambda x: np.maximum(x, 0.0), lambda x: (x > 0).astype(np.float64)),
    "softplus": Nonlinearity(lambda x: np.logaddexp(0.0, x), sigmoid),
    "sigmoid": Nonlinearity(sigmoid, _sigmoid_slope),
    "silu": Nonlinearity(lambda x: x * sigmoid(x), _silu_slope),
    "exp": Nonlinearity(np.exp, np.exp),
}


def nonlinearity(name: str) -> Nonlinearity:
    """Return the function called `name`.

    Raises:
        ValueError: There is none of that name; the message lists those that exist.
    """
    if name not in NONLINEARITIES:
        raise ValueError(f"unknown nonlinearity {name!r}: expected one of {', '.join(NONLINEARITIES)}")
    return NONLINEARITIES[name]
