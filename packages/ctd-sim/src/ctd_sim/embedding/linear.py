"""Each neuron is a random linear mixture of the state dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctd_contract import Layer
from ctd_sim.embedding.base import Embedding, EmbeddingConfig
from ctd_sim.moments import Moments


@dataclass(frozen=True)
class Linear(Embedding):
    """Activations = weight @ state.

    Attributes:
        weight: (neuron, state).
    """

    weight: NDArray[np.float64]

    def __call__(self, states: NDArray) -> NDArray[np.float64]:
        """Activations (trial, time, neuron)."""
        # One product per trial: a single one over all bins would round differently with other trials around.
        return np.matmul(states.astype(np.float64), self.weight.T)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The one layer."""
        return (Layer(self.weight),)


@dataclass
class LinearConfig(EmbeddingConfig):
    """Independent normal weights of variance 1 / state."""

    def build(
        self, n_states: int, n_neurons: int, rng: np.random.Generator, moments: Moments | None
    ) -> Linear:
        """Draw the weights."""
        del moments
        return Linear(rng.standard_normal((n_neurons, n_states)) / np.sqrt(n_states))
