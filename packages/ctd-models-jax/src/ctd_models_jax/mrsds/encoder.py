"""From activity to what the posterior is made of: a transformer or a bidirectional GRU."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ctd_models_jax.mrsds.config import EncoderConfig
from ctd_models_jax.mrsds.perceptron import Perceptron
from ctd_models_jax.sequences import gru_scan

_FAR = -1e30  # finite, so that a trial of which nothing is visible gives numbers


class Block(eqx.Module):
    """Attention and a feed-forward layer, each added to what it reads, which is normalised first.

    Attributes:
        first: Normalisation before the attention.
        query: To queries, keys and values, (3, head, head size, width).
        mixed: Back from the heads, (width, head, head size).
        second: Normalisation before the feed-forward layer.
        feed_forward: Of one hidden layer.

    Source: R. Xiong and others, On layer normalization in the transformer architecture, ICML 2020.
    """

    first: eqx.nn.LayerNorm
    query: Array
    mixed: Array
    second: eqx.nn.LayerNorm
    feed_forward: Perceptron

    @classmethod
    def draw(cls, key: Array, settings: EncoderConfig) -> Block:
        """Parameters at first."""
        keys = jax.random.split(key, 3)
        width, heads = settings.units, (settings.heads, settings.head_size)
        return cls(
            first=eqx.nn.LayerNorm(width),
            query=jax.random.normal(keys[0], (3, *heads, width)) / width**0.5,
            mixed=jax.random.normal(keys[1], (width, *heads)) / np.prod(heads) ** 0.5,
            second=eqx.nn.LayerNorm(width),
            feed_forward=Perceptron.draw(keys[2], (width, settings.feed_forward, width), "relu"),
        )

    def __call__(self, values: Array, visible: Array) -> Array:
        """Values (trial, time, width), of which only those `visible` (trial, time) are attended to."""
        seen = _normalised(self.first, values)
        each = partial(_attend, self.query, self.mixed)
        if jax.default_backend() == "cpu":  # what one trial needs stays in its caches
            mixed = jax.lax.map(lambda trial: each(*trial), (seen, visible))
        else:
            mixed = jax.vmap(each)(seen, visible)
        values = values + mixed
        return values + self.feed_forward(_normalised(self.second, values))


@jax.checkpoint
def _attend(weights: Array, mixed: Array, values: Array, visible: Array) -> Array:
    """Attention within one trial, (time, width); its scores are computed again in the backward pass."""
    query, key, value = jnp.einsum("phdw,tw->phtd", weights, values)
    scores = jnp.einsum("htd,hsd->hts", query / query.shape[-1] ** 0.5, key)
    shares = jax.nn.softmax(jnp.where(visible > 0, scores, _FAR), -1)
    return jnp.einsum("htd,whd->tw", jnp.einsum("hts,hsd->htd", shares, value), mixed)


class Transformer(eqx.Module):
    """Blocks over positions in time; bins that aren't visible are attended to by none.

    Attributes:
        enter: To the width of the blocks.
        blocks: One after another.
    """

    enter: Perceptron
    blocks: list[Block]

    @classmethod
    def draw(cls, key: Array, size: int, settings: EncoderConfig) -> Transformer:
        """Parameters at first."""
        keys = jax.random.split(key, settings.blocks + 1)
        blocks = [Block.draw(each, settings) for each in keys[1:]]
        return cls(Perceptron.draw(keys[0], (size, settings.units), "identity"), blocks)

    def __call__(self, values: Array, visible: Array) -> Array:
        """(trial, time, width) of (trial, time, size)."""
        values = self.enter(values)
        values = values + positions(values.shape[1], values.shape[2])
        for block in self.blocks:
            values = block(values, visible)
        return values


class BidirectionalGRU(eqx.Module):
    """Two networks, one from each end; where a bin isn't visible their states stay.

    Attributes:
        forward: From the first bin on.
        backward: From the last bin on.
    """

    forward: eqx.nn.GRUCell
    backward: eqx.nn.GRUCell

    @classmethod
    def draw(cls, key: Array, size: int, settings: EncoderConfig) -> BidirectionalGRU:
        """Parameters at first."""
        first, second = jax.random.split(key)
        units = settings.units
        return cls(eqx.nn.GRUCell(size, units, key=first), eqx.nn.GRUCell(size, units, key=second))

    def __call__(self, values: Array, visible: Array) -> Array:
        """(trial, time, 2 units) of (trial, time, size)."""
        start = jnp.zeros((values.shape[0], self.forward.hidden_size))
        onwards = gru_scan(self.forward, values, start, visible)
        back = gru_scan(self.backward, values[:, ::-1], start, visible[:, ::-1])[:, ::-1]
        return jnp.concatenate([onwards, back], -1)


class Encoder(eqx.Module):
    """Activity of each region through an embedding of its own, then all of them through time.

    Attributes:
        mean: (neuron,) of the training trials; not trained.
        std: (neuron,) likewise.
        embeddings: One a region.
        core: Through time.
        head: To the posterior's parts.
        neuron_regions: The region of each neuron.
        held_in: Which neurons may be seen.
    """

    mean: Array
    std: Array
    embeddings: list[Perceptron]
    core: Transformer | BidirectionalGRU
    head: Perceptron
    neuron_regions: tuple[int, ...] = eqx.field(static=True)
    held_in: tuple[bool, ...] = eqx.field(static=True)

    @classmethod
    def draw(
        cls,
        key: Array,
        neuron_regions: tuple[int, ...],
        held_in: tuple[bool, ...],
        inputs: int,
        outputs: int,
        settings: EncoderConfig,
        mean: Array,
        std: Array,
    ) -> Encoder:
        """Parameters at first: an encoder that says next to nothing."""
        keys = jax.random.split(key, 3)
        seen = [_seen(neuron_regions, held_in, r) for r in range(max(neuron_regions) + 1)]
        embeddings = [
            Perceptron.draw(jax.random.fold_in(keys[0], r), (len(rows), *settings.embedding), "relu")
            for r, rows in enumerate(seen)
        ]
        size = len(seen) * settings.embedding[-1] + inputs
        transformer = settings.kind == "transformer"
        core = (Transformer if transformer else BidirectionalGRU).draw(keys[1], size, settings)
        width = settings.units * (1 if transformer else 2)
        head = Perceptron.draw(keys[2], (width, *settings.layers, outputs), "relu", gain=0.1)
        return cls(mean, std, embeddings, core, head, neuron_regions, held_in)

    def __call__(self, values: Array, shown: Array, visible: Array, inputs: Array) -> Array:
        """What the posterior is made of, (trial, time, output).

        Args:
            values: (trial, time, neuron).
            shown: (trial, time, neuron) 0 where a value was not observed or is hidden; held-out neurons are
                hidden in any case.
            visible: (trial, time) bins that may be seen.
            inputs: (trial, time, input).
        """
        there = (shown > 0) & (visible[..., None] > 0)
        scaled = jnp.where(there, (values - self.mean) / self.std, 0.0)
        parts = [
            jax.nn.relu(embedding(scaled[..., _seen(self.neuron_regions, self.held_in, region)]))
            for region, embedding in enumerate(self.embeddings)
        ]
        return self.head(self.core(jnp.concatenate([*parts, inputs], -1), visible))


def positions(n_bins: int, width: int) -> Array:
    """Sines and cosines of wave lengths from 2π to 10,000 · 2π bins, (time, width).

    Source: A. Vaswani and others, Attention is all you need, NeurIPS 2017.
    """
    rates = 1e4 ** (-np.arange(0, width, 2) / width)
    angles = np.arange(n_bins)[:, None] * rates
    waves = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(n_bins, -1)[:, :width]
    return jnp.asarray(waves)


def _normalised(layer: eqx.nn.LayerNorm, values: Array) -> Array:
    return jax.vmap(jax.vmap(layer))(values)


def _seen(neuron_regions: tuple[int, ...], held_in: tuple[bool, ...], region: int) -> np.ndarray:
    return np.flatnonzero((np.asarray(neuron_regions) == region) & np.asarray(held_in))
