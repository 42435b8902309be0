"""The multilayer perceptron of state and input inside residual and differential-equation dynamics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from numpy.typing import ArrayLike

from .base import Dynamics
from .checks import finite_array
from .nonlinearity import FloatArray, nonlinearity


class MLP:
    """MLP([x, u]): affine layers with the activation between them and none after the last.

    Args:
        weights: (out, in) of each layer; the first takes state + input, the last gives state.
        biases: (out,) of each layer.
        activation: By name.
    """

    def __init__(self, weights: Sequence[ArrayLike], biases: Sequence[ArrayLike], activation: str) -> None:
        if not len(weights) or len(weights) != len(biases):
            raise ValueError(
                f"expected as many weights as biases, one or more, got {len(weights)} and {len(biases)}"
            )
        self.weights: list[FloatArray] = []
        self.biases: list[FloatArray] = []
        width: int | None = None
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            self.weights.append(finite_array(f"weight_{layer}", weight, {"out": None, "in": width}))
            width = self.weights[-1].shape[0]
            self.biases.append(finite_array(f"bias_{layer}", bias, {"out": width}))
        self.state_size = self.weights[-1].shape[0]
        self.input_size = self.weights[0].shape[1] - self.state_size
        if self.input_size < 0:
            raise ValueError(
                f"weight_0: expected at least {self.state_size} columns, the state that the last layer gives "
                f"and then the input, got {self.weights[0].shape[1]}"
            )
        self._phi = nonlinearity(activation)

    @property
    def parameters(self) -> dict[str, FloatArray]:
        """weight_0, bias_0, weight_1, ..."""
        pairs = enumerate(zip(self.weights, self.biases, strict=True))
        return {name: value for i, (w, b) in pairs for name, value in ((f"weight_{i}", w), (f"bias_{i}", b))}

    def __call__(self, x: FloatArray, u: FloatArray) -> FloatArray:
        """Return MLP([x, u]), (..., state)."""
        drive = self._first(x, u)
        for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            drive = self._phi.function(drive) @ weight.T + bias
        return drive

    def with_jacobian(self, x: FloatArray, u: FloatArray, columns: slice) -> tuple[FloatArray, FloatArray]:
        """Return MLP([x, u]) and its Jacobian by the `columns` of [x, u], (..., state, column)."""
        drive = self._first(x, u)
        tangent = self.weights[0][:, columns]
        for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            tangent = weight @ (self._phi.derivative(drive)[..., None] * tangent)
            drive = self._phi.function(drive) @ weight.T + bias
        return drive, tangent

    def _first(self, x: FloatArray, u: FloatArray) -> FloatArray:
        weight = self.weights[0]
        return x @ weight[:, : self.state_size].T + u @ weight[:, self.state_size :].T + self.biases[0]


class MLPDynamics(Dynamics):
    """What the kinds built on a perceptron share.

    Args:
        weights: (out, in) of each layer; the first takes [x, u], the last gives what the state has.
        biases: (out,) of each layer.
        activation: Between layers, by name.
        inputs: Signals that make up u.
        noise_std: Of the process noise left out.
    """

    def __init__(
        self,
        weights: Sequence[ArrayLike],
        biases: Sequence[ArrayLike],
        *,
        activation: str,
        inputs: Sequence[str],
        noise_std: float,
    ) -> None:
        self.mlp = MLP(weights, biases, activation)
        self.activation = activation
        super().__init__(self.mlp.state_size, self.mlp.input_size, inputs=inputs, noise_std=noise_std)

    @property
    def parameters(self) -> dict[str, FloatArray]:
        """weight_0, bias_0, weight_1, ..."""
        return self.mlp.parameters

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, ArrayLike], **settings: Any) -> Self:
        """Rebuild from weight_0, bias_0, weight_1, ...; KeyError names one that is missing."""
        layers = range(max(1, sum(name.startswith("weight_") for name in parameters)))
        weights = [parameters[f"weight_{layer}"] for layer in layers]
        return cls(weights, [parameters[f"bias_{layer}"] for layer in layers], **settings)
