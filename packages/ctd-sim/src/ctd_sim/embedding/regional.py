"""Neurons that see the states of one region alone: an embedding of its own for each region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ctd_contract import Layer
from ctd_sim.embedding.base import Embedding, EmbeddingConfig
from ctd_sim.moments import Moments
from ctd_sim.random_streams import stream


@dataclass(frozen=True)
class Regional(Embedding):
    """Embeddings side by side.

    Attributes:
        parts: Of each region.
        slices: The states that each of them sees.
    """

    parts: tuple[Embedding, ...]
    slices: tuple[slice, ...]

    def __call__(self, states: NDArray) -> NDArray[np.float64]:
        """Activations (trial, time, neuron), region after region."""
        activations = [part(states[..., own]) for part, own in zip(self.parts, self.slices, strict=True)]
        return np.concatenate(activations, axis=-1)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Layers whose weights are zero between regions."""
        return tuple(_block_diagonal(group) for group in zip(*(p.layers for p in self.parts), strict=True))

    @property
    def columns(self) -> dict[str, NDArray]:
        """What each region's embedding says, with positions of states among all."""
        columns = [part.columns for part in self.parts]
        shifted = [
            {**c, "state_index": c["state_index"] + np.int32(own.start)} if "state_index" in c else c
            for c, own in zip(columns, self.slices, strict=True)
        ]
        return {name: np.concatenate([c[name] for c in shifted]) for name in columns[0]}


def draw_embedding(
    config: EmbeddingConfig,
    state_regions: NDArray[np.int32],
    n_neurons: int,
    seed: int,
    moments: Moments | None,
) -> Embedding:
    """Draw the embedding of one region, or one for each of several.

    Args:
        config: What to draw.
        state_regions: (state,) region of each state, each one slice.
        n_neurons: Of each region.
        seed: Of the draw.
        moments: Of the states, where the embedding needs them.
    """
    n_regions = int(state_regions.max(initial=0)) + 1
    if n_regions == 1:
        return config.build(len(state_regions), n_neurons, stream(seed, "embedding"), moments)
    edges = np.searchsorted(state_regions, np.arange(n_regions + 1)).tolist()
    slices = tuple(slice(first, last) for first, last in pairwise(edges))
    parts = tuple(
        config.build(
            own.stop - own.start,
            n_neurons,
            stream(seed, f"embedding/{region}"),
            None if moments is None else Moments(moments.mean[own], moments.std[own], moments.largest[own]),
        )
        for region, own in enumerate(slices)
    )
    return Regional(parts, slices)


def _block_diagonal(layers: Sequence[Layer]) -> Layer:
    rows, columns = (sum(layer.weight.shape[axis] for layer in layers) for axis in (0, 1))
    weight, row, column = np.zeros((rows, columns)), 0, 0
    for layer in layers:
        height, width = layer.weight.shape
        weight[row : row + height, column : column + width] = layer.weight
        row, column = row + height, column + width
    return Layer(weight, np.concatenate([layer.bias for layer in layers]), layers[0].nonlinearity)
