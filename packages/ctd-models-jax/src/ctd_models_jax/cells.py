"""Cells of recurrent networks: a step of (trial, state), with the part that depends on inputs alone apart.

Every cell has ``project(inputs)``, affine in the inputs and computed for all bins at once, and a call
``cell(state, projected)`` for what is left inside the loop over time.
"""

from __future__ import annotations

from typing import Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

NONLINEARITIES = {"tanh": jnp.tanh, "relu": jax.nn.relu}


class Cell(Protocol):
    """A step of a network."""

    def project(self, inputs: Array) -> Array:
        """What the step needs of its inputs (..., input), affine in them."""
        ...

    def __call__(self, state: Array, projected: Array) -> Array:
        """The next state (trial, state)."""
        ...


class GatedCell(eqx.Module):
    """h' = (1 - z) n + z h with gates r, z and n = tanh(W_n u + b_n + U_n (r ⊙ h)) (Cho et al. 2014).

    Attributes:
        weight_input: W, (3 · state, input); rows r, z, n.
        weight_state: U, (3 · state, state).
        bias: b, (3 · state,).
    """

    weight_input: Array
    weight_state: Array
    bias: Array

    @classmethod
    def draw(cls, key: Array, inputs: int, units: int, *, gain: float, gate_bias: float = 0.0) -> GatedCell:
        """Normal weights, gain / sqrt(units) within, 1 / sqrt(inputs) in; `gate_bias` on z, which keeps h."""
        to_state, to_input = jax.random.split(key)
        bias = jnp.zeros(3 * units).at[units : 2 * units].set(gate_bias)
        return cls(
            weight_input=normal(to_input, (3 * units, inputs), inputs),
            weight_state=gain * normal(to_state, (3 * units, units), units),
            bias=bias,
        )

    def project(self, inputs: Array) -> Array:
        """W u + b."""
        return inputs @ self.weight_input.T + self.bias

    def __call__(self, state: Array, projected: Array) -> Array:
        """The next state."""
        units = state.shape[-1]
        gates = jax.nn.sigmoid(projected[..., : 2 * units] + state @ self.weight_state[: 2 * units].T)
        reset, keep = jnp.split(gates, 2, -1)
        new = jnp.tanh(projected[..., 2 * units :] + (reset * state) @ self.weight_state[2 * units :].T)
        return new + keep * (state - new)


class VanillaCell(eqx.Module):
    """h' = φ(U h + W u + b).

    Attributes:
        weight_input: W, (state, input).
        weight_state: U, (state, state).
        bias: b, (state,).
        nonlinearity: φ, ``tanh`` or ``relu``.
    """

    weight_input: Array
    weight_state: Array
    bias: Array
    nonlinearity: str = eqx.field(static=True)

    @classmethod
    def draw(cls, key: Array, inputs: int, units: int, *, gain: float, nonlinearity: str) -> VanillaCell:
        """Normal weights, gain / sqrt(units) within and 1 / sqrt(inputs) in."""
        to_state, to_input = jax.random.split(key)
        return cls(
            weight_input=normal(to_input, (units, inputs), inputs),
            weight_state=gain * normal(to_state, (units, units), units),
            bias=jnp.zeros(units),
            nonlinearity=nonlinearity,
        )

    def project(self, inputs: Array) -> Array:
        """W u + b."""
        return inputs @ self.weight_input.T + self.bias

    def __call__(self, state: Array, projected: Array) -> Array:
        """The next state."""
        return NONLINEARITIES[self.nonlinearity](state @ self.weight_state.T + projected)


class EquinoxCell(eqx.Module):
    """Any of Equinox's cells, ``cell(input, state)`` of one trial, whose state is one vector.

    Attributes:
        cell: The cell.
    """

    cell: eqx.Module

    def project(self, inputs: Array) -> Array:
        """The inputs themselves: what such a cell does with them is its own."""
        return inputs

    def __call__(self, state: Array, projected: Array) -> Array:
        """The next state."""
        return jax.vmap(self.cell)(projected, state)  # type: ignore[arg-type]


def normal(key: Array, shape: tuple[int, ...], fan_in: int) -> Array:
    """Normal numbers with a variance of 1 / fan_in."""
    return jax.random.normal(key, shape) / max(fan_in, 1) ** 0.5
