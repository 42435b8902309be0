"""What an embedding is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ctd_contract import Layer
from ctd_sim.moments import Moments


class Embedding(ABC):
    """A fixed map from states to one activation per neuron."""

    @abstractmethod
    def __call__(self, states: NDArray) -> NDArray[np.float64]:
        """Activations (trial, time, neuron) of states (trial, time, state).

        A trial's activations are the same bits whichever trials come with it.
        """

    @property
    @abstractmethod
    def layers(self) -> tuple[Layer, ...]:
        """The same map as a chain of layers; the last one has no nonlinearity."""

    @property
    def columns(self) -> dict[str, NDArray]:
        """What the embedding says about each neuron, for the table of neurons."""
        return {}


class EmbeddingConfig(ABC):
    """Settings of an embedding; `build` draws it."""

    # Whether `build` needs the mean and spread of each state dimension, which costs a pass over the data.
    needs_state_moments: ClassVar[bool] = False

    @abstractmethod
    def build(
        self, n_states: int, n_neurons: int, rng: np.random.Generator, moments: Moments | None
    ) -> Embedding:
        """Draw an embedding; `moments` are those of the states, where they are needed."""
