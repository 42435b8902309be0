"""States in three principal components, to be drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctd_analysis.results import Floats

N_COMPONENTS = 3


@dataclass(frozen=True)
class Projection:
    """Principal components of some states.

    Attributes:
        centre: Mean state, (state,).
        components: Unit vectors, (component=3, state); zeros where there are fewer dimensions.
        explained: Fraction of the variance along each, (component=3,).
    """

    centre: Floats
    components: Floats
    explained: Floats

    @classmethod
    def of(cls, states: Floats) -> Projection:
        """Components of states, (row, state), with the sign that makes the largest loading positive."""
        centre = states.mean(axis=0)
        centred = states - centre
        variances, vectors = np.linalg.eigh(centred.T @ centred / len(states))
        variances, vectors = variances[::-1][:N_COMPONENTS], vectors.T[::-1][:N_COMPONENTS]
        total = np.square(centred).sum() / len(states)
        count, size = vectors.shape
        largest = np.argmax(np.abs(vectors), axis=1)
        signs = np.where(vectors[np.arange(count), largest] < 0.0, -1.0, 1.0)
        components = np.zeros((N_COMPONENTS, size))
        components[:count] = vectors * signs[:, None]
        explained = np.zeros(N_COMPONENTS)
        explained[:count] = np.maximum(variances, 0.0) / total if total > 0.0 else 0.0
        return cls(centre, components, explained)

    def __call__(self, states: Floats) -> Floats:
        """(..., state) to (..., component=3)."""
        return (states - self.centre) @ self.components.T
