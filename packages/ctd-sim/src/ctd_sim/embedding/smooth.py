"""Neurons lie on a smooth curved manifold: a fixed random network of one tanh layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ctd_contract import Layer
from ctd_sim.embedding.base import Embedding, EmbeddingConfig
from ctd_sim.moments import Moments


@dataclass(frozen=True)
class Smooth(Embedding):
    """Activations = output @ tanh(weight @ state + bias), infinitely often differentiable.

    Attributes:
        weight: (feature, state).
        bias: (feature,).
        output: (neuron, feature).
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    output: NDArray[np.float64]

    def __call__(self, states: NDArray) -> NDArray[np.float64]:
        """Activations (trial, time, neuron)."""
        features = np.matmul(states.astype(np.float64), self.weight.T)
        features += self.bias
        np.tanh(features, out=features)
        return np.matmul(features, self.output.T)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The tanh layer, then the mixture of its features."""
        return (Layer(self.weight, self.bias, "tanh"), Layer(self.output))


@dataclass
class SmoothConfig(EmbeddingConfig):
    """A random network a = V tanh(curvature · U z + c) of the standardised states z.

    U has independent normal entries of variance 1 / state, V of variance 1 / feature, c is normal with
    standard deviation 1, and z is each state dimension less its mean, over its standard deviation. With at
    least 2 · state + 1 features the map is one-to-one for almost every draw.

    Attributes:
        features: Number of tanh features.
        curvature: How far a typical state reaches into the bend of tanh; towards 0 the map is linear.
    """

    needs_state_moments: ClassVar[bool] = True

    features: int = 256
    curvature: float = 1.0

    def build(
        self, n_states: int, n_neurons: int, rng: np.random.Generator, moments: Moments | None
    ) -> Smooth:
        """Draw the network and fold the states' standardisation into its first layer."""
        if self.features < 1 or not self.curvature > 0:
            raise ValueError(
                f"embedding.features must be at least 1 and embedding.curvature above 0, "
                f"got {self.features} and {self.curvature}"
            )
        if moments is None:
            raise ValueError("the smooth embedding needs the states' moments")
        weight = rng.standard_normal((self.features, n_states)) * (self.curvature / np.sqrt(n_states))
        bias = rng.standard_normal(self.features)
        output = rng.standard_normal((n_neurons, self.features)) / np.sqrt(self.features)
        # A dimension that never moves has no spread to divide by; it only shifts the bias.
        spread = np.where(moments.std > 0, moments.std, 1.0)
        return Smooth(weight / spread, bias - weight @ (moments.mean / spread), output)
