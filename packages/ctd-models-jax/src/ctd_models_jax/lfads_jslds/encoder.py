"""The encoder, a bidirectional GRU, and what of it the controller sees in each bin."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ctd_models_jax.cells import normal

# Bias of a GRU's gates at first: states are kept.
KEEP = 1.0


class BidirectionalGRU(eqx.Module):
    """Two networks, one from each end, run as one loop; where a bin isn't visible their states stay.

    Reset gates multiply the recurrent product, as in torch and cuDNN; gates r, z, n.

    Attributes:
        weight_input: (2, 3 · unit, channel), forwards first.
        weight_state: (2, 3 · unit, unit).
        bias: (2, 3 · unit).
        bias_state: (2, unit), of the candidate's recurrent product.
        start: (2, unit) states before their first bin.
    """

    weight_input: Array
    weight_state: Array
    bias: Array
    bias_state: Array
    start: Array

    @classmethod
    def draw(cls, key: Array, size: int, units: int) -> BidirectionalGRU:
        """Normal weights with a variance of 1 / (channels + units); gates that keep states."""
        to_input, to_state = jax.random.split(key)
        return cls(
            weight_input=normal(to_input, (2, 3 * units, size), size + units),
            weight_state=normal(to_state, (2, 3 * units, units), size + units),
            bias=jnp.zeros((2, 3 * units)).at[:, : 2 * units].set(KEEP),
            bias_state=jnp.zeros((2, units)),
            start=jnp.zeros((2, units)),
        )

    def __call__(self, values: Array, visible: Array) -> tuple[Array, Array]:
        """States of both networks after each bin, in the order of the bins, (trial, time, unit) each.

        Args:
            values: (trial, time, channel).
            visible: (trial, time).
        """
        both = jnp.stack([values, values[:, ::-1]])
        given = jnp.einsum("dbtc,dkc->tdbk", both, self.weight_input) + self.bias[:, None]
        there = jnp.moveaxis(jnp.stack([visible, visible[:, ::-1]]), 2, 0)[..., None]
        start = jnp.broadcast_to(self.start[:, None], (2, len(values), self.start.shape[1]))
        step = partial(_step, self.weight_state, self.bias_state[:, None])
        states = jax.lax.scan(step, start, (given, there))[1]
        both = jnp.moveaxis(states, 0, 2)
        return both[0], both[1][:, ::-1]


def _step(weight: Array, bias: Array, state: Array, x: tuple[Array, Array]) -> tuple[Array, Array]:
    """One bin of both networks, (2, trial, unit)."""
    (given, there), units = x, state.shape[-1]
    recurrent = state @ jnp.swapaxes(weight, -1, -2)
    gates = jax.nn.sigmoid(given[..., : 2 * units] + recurrent[..., : 2 * units])
    reset, keep = jnp.split(gates, 2, -1)
    candidate = jnp.tanh(given[..., 2 * units :] + reset * (recurrent[..., 2 * units :] + bias))
    new = jnp.where(there > 0, candidate + keep * (state - candidate), state)
    return new, new


class Affine(eqx.Module):
    """An affine map.

    Attributes:
        weight: (out, in).
        bias: (out,).
    """

    weight: Array
    bias: Array

    @classmethod
    def draw(cls, key: Array, inputs: int, outputs: int) -> Affine:
        """Normal weights with a variance of 1 / inputs, no bias."""
        return cls(normal(key, (outputs, inputs), inputs), jnp.zeros(outputs))

    def __call__(self, values: Array) -> Array:
        """(..., out) of (..., in)."""
        return values @ self.weight.T + self.bias


def seen_by_controller(states: tuple[Array, Array], visible: Array, lag: int) -> Array:
    """Both networks' states as the controller sees them, (trial, time, 2 · unit).

    In bin t it sees the forward state after bin t - lag and the backward state after bin t + lag, and zeros
    where the encoder read no such bin.
    """
    there = visible[..., None] > 0
    onwards, back = (jnp.where(there, side, 0.0) for side in states)
    if lag:
        silence = jnp.zeros_like(onwards[:, :lag])
        onwards = jnp.concatenate([silence, onwards[:, :-lag]], 1)
        back = jnp.concatenate([back[:, lag:], silence], 1)
    return jnp.concatenate([onwards, back], -1)
