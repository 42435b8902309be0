"""Recurrences over trials as scans; input projections are one product over all bins, outside the loop."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array


class AffineCell(eqx.Module):
    """x' = A x + B u + c.

    Attributes:
        A: (state, state).
        B: (state, input).
        c: (state,).
    """

    A: Array
    B: Array
    c: Array


def gru_scan(cell: eqx.nn.GRUCell, inputs: Array, state: Array, mask: Array | None = None) -> Array:
    """States (trial, time, state) of a GRU after each input; where `mask` (trial, time) is 0 the state stays.

    The input projections are one product over all bins; only the recurrent one is inside the scan.
    Reset after the product, gates r, z, n, as in torch and cuDNN.
    """
    projected = jnp.swapaxes(inputs @ cell.weight_ih.T + jnp.asarray(cell.bias), 0, 1)
    keep = jnp.ones(projected.shape[:2]) if mask is None else jnp.swapaxes(mask, 0, 1)

    def step(h: Array, x: tuple[Array, Array]) -> tuple[Array, Array]:
        given, kept = x
        input_r, input_z, input_n = jnp.split(given, 3, -1)
        state_r, state_z, state_n = jnp.split(h @ cell.weight_hh.T, 3, -1)
        r, z = jax.nn.sigmoid(input_r + state_r), jax.nn.sigmoid(input_z + state_z)
        n = jnp.tanh(input_n + r * (state_n + jnp.asarray(cell.bias_n)))
        new = jnp.where(kept[:, None] > 0, n + z * (h - n), h)
        return new, new

    return jnp.swapaxes(jax.lax.scan(step, state, (projected, keep))[1], 0, 1)


def affine_scan(cell: AffineCell, inputs: Array, state: Array) -> Array:
    """States (trial, time, state) of a linear system after each input."""
    driven = jnp.swapaxes(inputs @ cell.B.T + cell.c, 0, 1)

    def step(x: Array, b: Array) -> tuple[Array, Array]:
        new = x @ cell.A.T + b
        return new, new

    return jnp.swapaxes(jax.lax.scan(step, state, driven)[1], 0, 1)
