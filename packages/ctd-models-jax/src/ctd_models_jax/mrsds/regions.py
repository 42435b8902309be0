"""Which states belong to which region, and perceptrons between all pairs of them, side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

ACTIVATIONS = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "identity": lambda x: x,
}


def places(sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Group of each channel, and its place in the group."""
    return np.repeat(np.arange(len(sizes)), sizes), np.concatenate([np.arange(size) for size in sizes])


def pad(values: Array, sizes: tuple[int, ...]) -> Array:
    """Channels (..., channel) by group, (..., group, place), zero past a group's size."""
    largest = max(sizes)
    if min(sizes) == largest:
        return values.reshape(*values.shape[:-1], len(sizes), largest)
    groups = []  # by slices: a gather's gradient would be a scatter, which is slow
    for group, size in zip(slices(sizes), sizes, strict=True):
        width = [(0, 0)] * (values.ndim - 1) + [(0, largest - size)]
        groups.append(jnp.pad(values[..., group], width))
    return jnp.stack(groups, -2)


def unpad(values: Array, sizes: tuple[int, ...]) -> Array:
    """Groups (..., group, place) as channels, (..., channel)."""
    if min(sizes) == max(sizes) == values.shape[-1]:
        return values.reshape(*values.shape[:-2], sum(sizes))  # of no bins too
    return jnp.concatenate([values[..., group, :size] for group, size in enumerate(sizes)], -1)


def by_place(function: Callable[[Array], Array], x: Array, sizes: tuple[int, ...]) -> Array:
    """What a linear function makes of a step in one place of every group at once, (..., place).

    Of a function whose outputs depend on one group each that is all of its Jacobian, in as many directions as
    the largest group has channels. One after another: all at once end XLA's CPU client (jaxlib 0.10) with a
    segmentation fault in some networks.

    Args:
        function: Of arrays like `x`.
        x: (..., channel).
        sizes: Channels of each group.
    """
    steps = jnp.asarray(places(sizes)[1] == np.arange(max(sizes))[:, None], x.dtype)
    told = jax.lax.map(lambda step: function(jnp.broadcast_to(step, x.shape)), steps)
    return jnp.moveaxis(told, 0, -1)


def slices(sizes: tuple[int, ...]) -> list[slice]:
    """Channels of each group."""
    return [slice(start, start + size) for start, size in zip(np.cumsum((0, *sizes)), sizes, strict=False)]


class Networks(eqx.Module):
    """A perceptron from each source to each region in each mode; one product a layer computes all of them.

    Attributes:
        weights: (mode, region, source, out, in) of each layer; padded to the largest sizes. With a mode
            axis of length 1 and biases with one of each mode, the one-hot mode is an input of every layer.
        biases: (mode, region, source, out) of each layer; None where there are none.
        local_weights: (mode, region, source, out, state of a region) of each layer, by which networks see
            their target's own state too; None where they don't.
        activation: Between layers, by name.
        linear_between: Whether a region's network to itself alone has activations.
        source_sizes: Channels of each source.
        sizes: States of each region.
    """

    weights: list[Array]
    biases: list[Array] | None
    local_weights: list[Array] | None
    activation: str = eqx.field(static=True)
    linear_between: bool = eqx.field(static=True)
    source_sizes: tuple[int, ...] = eqx.field(static=True)
    sizes: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, source: Array, x: Array) -> Array:
        """What each source tells each state, (..., mode, source, state).

        Args:
            source: (..., source channel).
            x: (..., state).
        """
        # Mode, region and source stay in front of all else, so that no layer moves anything in memory.
        free = (1,) * (source.ndim - 1)
        hidden = jnp.moveaxis(pad(source, self.source_sizes), -2, 0)[None, None]
        own = np.eye(len(self.sizes), len(self.source_sizes), dtype=bool)[..., None]
        apart = own.reshape(*own.shape, *free)
        for layer, weight in enumerate(self.weights):
            drive = _apply(weight, hidden)
            if self.biases is not None:
                bias = self.biases[layer]
                drive = drive + bias.reshape(*bias.shape[:3], *free, -1)
            if self.local_weights is not None:
                # A region's network to itself has its state as source already.
                seen = jnp.where(own[..., None], 0.0, self.local_weights[layer])
                drive = drive + jnp.einsum("kijod,...id->kij...o", seen, pad(x, self.sizes))
            active = ACTIVATIONS[self.activation](drive) if layer < len(self.weights) - 1 else drive
            hidden = jnp.where(apart, active, drive) if self.linear_between else active
        # (mode, region, source, ..., place) to (..., mode, source, region, place)
        front = len(free) + 3
        return unpad(jnp.transpose(hidden, [*range(3, front), 0, 2, 1, front]), self.sizes)


def _apply(weight: Array, hidden: Array) -> Array:
    """W hidden, with mode, region and source in front of both; axes of length 1 are shared."""
    modes = max(weight.shape[0], hidden.shape[0])
    weight = jnp.broadcast_to(weight, (modes, *weight.shape[1:]))
    hidden = jnp.broadcast_to(hidden, (*weight.shape[:3], *hidden.shape[3:]))
    return jnp.einsum("kij...d,kijod->kij...o", hidden, weight)


def draw_networks(
    key: Array,
    modes: int,
    sizes: tuple[int, ...],
    source_sizes: tuple[int, ...],
    layers: tuple[int, ...],
    *,
    activation: str,
    by_mode: str = "weights",
    linear_between: bool = False,
    conditional: bool = False,
    bias: bool = True,
    gain: float = 1.0,
) -> Networks:
    """Glorot-uniform weights, biases of ±0.05 in hidden layers; `gain` scales the last layer.

    Args:
        key: Of the draw.
        modes: How many.
        sizes: States of each region.
        source_sizes: Channels of each source.
        layers: Units of the hidden layers.
        activation: Between layers.
        by_mode: What differs between modes: all ``weights``, or ``biases`` alone.
        linear_between: As in `Networks`.
        conditional: Whether networks see their target's own state.
        bias: Whether there are biases.
        gain: Of the last layer.
    """
    widths = (max(source_sizes), *layers, max(sizes))
    pairs = (len(sizes), len(source_sizes))
    weight_modes = modes if by_mode == "weights" else 1
    weights, biases, local = [], [], []
    for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
        last = layer == len(layers)
        bound = (gain if last else 1.0) * math.sqrt(6 / (fan_in + fan_out))
        keys = jax.random.split(jax.random.fold_in(key, layer), 3)
        shape = (weight_modes, *pairs, fan_out)
        weights.append(bound * jax.random.uniform(keys[0], (*shape, fan_in), minval=-1.0))
        spread = 0.05 * (gain if last else 1.0)
        biases.append(spread * jax.random.uniform(keys[1], (modes, *shape[1:]), minval=-1.0))
        local.append(bound * jax.random.uniform(keys[2], (*shape, max(sizes)), minval=-1.0))
    return Networks(
        weights=weights,
        biases=biases if bias else None,
        local_weights=local if conditional else None,
        activation=activation,
        linear_between=linear_between,
        source_sizes=tuple(source_sizes),
        sizes=tuple(sizes),
    )
