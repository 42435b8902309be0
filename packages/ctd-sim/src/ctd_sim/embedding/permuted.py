"""Each neuron is a copy of one state dimension: the published simulator's embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctd_contract import Layer
from ctd_sim.embedding.base import Embedding, EmbeddingConfig
from ctd_sim.moments import Moments


@dataclass(frozen=True)
class Permuted(Embedding):
    """Activation of neuron n = state `index[n]`.

    Attributes:
        index: (neuron,) position of the state dimension that each neuron copies.
        n_states: How many state dimensions there are.
    """

    index: NDArray[np.int64]
    n_states: int

    def __call__(self, states: NDArray) -> NDArray[np.float64]:
        """Activations (trial, time, neuron)."""
        return np.take(states, self.index, axis=-1).astype(np.float64)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """One layer whose rows are unit vectors."""
        return (Layer(np.eye(self.n_states)[self.index]),)

    @property
    def columns(self) -> dict[str, NDArray]:
        """The position of the copied state dimension."""
        return {"state_index": self.index.astype(np.int32)}


@dataclass
class PermutedConfig(EmbeddingConfig):
    """Copies of state dimensions: ceil(neuron / state) random permutations in a row, cut to `neuron`.

    No dimension is copied n + 1 times before every dimension has been copied n times.
    """

    def build(
        self, n_states: int, n_neurons: int, rng: np.random.Generator, moments: Moments | None
    ) -> Permuted:
        """Draw the permutations."""
        del moments
        rounds = -(-n_neurons // n_states)
        index = np.concatenate([rng.permutation(n_states) for _ in range(rounds)])[:n_neurons]
        return Permuted(index, n_states)
