"""Paths of states drawn from the posterior, and what they say about the prior."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ctd_models_jax.mrsds.dynamics import Dynamics
from ctd_models_jax.mrsds.gaussian import Covariance, scaled


class Code(NamedTuple):
    """What the encoder says of each bin.

    Attributes:
        offset: (trial, time, state) m.
        factor: (trial, time, state), or (trial, time, state, state) where the posterior's covariance is full:
            Cholesky factor of S.
        modes: (trial, time, mode) log weights with which a structured posterior mixes the modes' means.
        diagonal: Whether `factor` is a diagonal.
    """

    offset: Array
    factor: Array
    modes: Array
    diagonal: bool


class Path(NamedTuple):
    """States of the posterior.

    Attributes:
        states: (trial, time, state).
        means: (trial, time, mode, state) where the prior expects each, given the one before.
    """

    states: Array
    means: Array


def decode(output: Array, covariance: Covariance, modes: int) -> Code:
    """The encoder's output (trial, time, 2 state + mode) by its parts."""
    size = covariance.log_scale.shape[0]
    offset, log_scale, logits = jnp.split(output, [size, 2 * size], -1)
    logits = logits if modes > 1 else jnp.zeros((*output.shape[:-1], 1))
    return Code(offset, covariance.factor(log_scale), jax.nn.log_softmax(logits, -1), covariance.diagonal)


def structured(dynamics: Dynamics, code: Code, inputs: Array, normal: Array) -> Path:
    """x_k ~ N(sum_z w_k(z) F_z(x_{k-1}, u_k) + m_k, S_k), bin by bin.

    Args:
        dynamics: The prior's F.
        code: m, S and w.
        inputs: (trial, time, input).
        normal: (trial, time, state) standard normal numbers; zeros for the path of means.
    """
    moved = code.offset + scaled(code.factor, normal, diagonal=code.diagonal)
    weights, driven = jnp.exp(code.modes), dynamics.driven(inputs)

    def add(means: Array, weights: Array, moved: Array) -> Array:
        return jnp.einsum("bk,bks->bs", weights, means) + moved

    def step(x: Array, along: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        moved, weights, driven = along
        means = dynamics.means(x, driven)
        x = add(means, weights, moved)
        return x, (x, means)

    first_means = jnp.broadcast_to(dynamics.initial_mean, (len(inputs), *dynamics.initial_mean.shape))
    first = add(first_means, weights[:, 0], moved[:, 0])
    rest = jax.tree.map(lambda array: jnp.swapaxes(array[:, 1:], 0, 1), (moved, weights, driven))
    states, means = (jnp.swapaxes(a, 0, 1) for a in jax.lax.scan(step, first, rest)[1])
    return Path(
        jnp.concatenate([first[:, None], states], 1), jnp.concatenate([first_means[:, None], means], 1)
    )


def mean_field(dynamics: Dynamics, code: Code, inputs: Array, normal: Array) -> Path:
    """x_k ~ N(m_k, S_k): all bins at once; arguments as in `structured`."""
    states = code.offset + scaled(code.factor, normal, diagonal=code.diagonal)
    return Path(states, prior_means(dynamics, states, inputs))


def prior_means(dynamics: Dynamics, states: Array, inputs: Array) -> Array:
    """Where the prior expects each bin's state, given the one before, (trial, time, mode, state)."""
    means = dynamics.means(states[:, :-1], dynamics.driven(inputs[:, 1:]))
    first = jnp.broadcast_to(dynamics.initial_mean, (len(states), 1, *dynamics.initial_mean.shape))
    return jnp.concatenate([first, means], 1)
