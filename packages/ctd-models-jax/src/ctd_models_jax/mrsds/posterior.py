"""Paths of states drawn from the posterior, and what they say about the prior."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.lax.linalg import triangular_solve
from jax.scipy.special import logsumexp

from ctd_models_jax.mrsds.chain import Links, onwards
from ctd_models_jax.mrsds.dynamics import Dynamics, ModePrior
from ctd_models_jax.mrsds.gaussian import Covariance, log_density, scaled


class Code(NamedTuple):
    """What the encoder says of each bin.

    Attributes:
        offset: (trial, time, state) m.
        factor: (trial, time, state), or (trial, time, state, state) where the posterior's covariance is full:
            Cholesky factor of S.
        modes: (trial, time, mode) log weights of the modes, by which means or maps of the modes are mixed.
        diagonal: Whether `factor` is a diagonal.
        seen: (trial, time, neuron) 1 for the values that the encoder saw.
    """

    offset: Array
    factor: Array
    modes: Array
    diagonal: bool
    seen: Array


class Path(NamedTuple):
    """States of the posterior.

    Attributes:
        states: (trial, time, state).
        means: (trial, time, mode, state) where the prior expects each, given the one before.
        centre: (trial, time, state) where the posterior expects each, given those before.
        factor: (trial, time, state), or (trial, time, state, state): Cholesky factor of the posterior's
            covariance of each, given those before.
        diagonal: Whether `factor` is a diagonal.
    """

    states: Array
    means: Array
    centre: Array
    factor: Array
    diagonal: bool


def decode(output: Array, covariance: Covariance, modes: int, seen: Array) -> Code:
    """The encoder's output (trial, time, 2 state + mode) by its parts, and what it saw."""
    size = covariance.log_scale.shape[0]
    offset, log_scale, logits = jnp.split(output, [size, 2 * size], -1)
    logits = logits if modes > 1 else jnp.zeros((*output.shape[:-1], 1))
    log_modes = jax.nn.log_softmax(logits, -1)
    return Code(offset, covariance.factor(log_scale), log_modes, covariance.diagonal, seen)


def structured(
    dynamics: Dynamics,
    prior: ModePrior,
    code: Code,
    inputs: Array,
    normal: Array,
    *,
    weights: Array | None = None,
) -> Path:
    """x_k ~ N(sum_z w_k(z) F_z(x_{k-1}, u_k) + m_k, S_k), bin by bin.

    w_k(z) is proportional to p(z_k | x_1..x_{k-1}, u), which the states drawn so far give by a filter over
    modes, times what the encoder says of z_k. So the encoder need not tell in which mode the drawn path is.

    Args:
        dynamics: The prior's F.
        prior: How modes follow each other.
        code: m, S and what the encoder says of modes.
        inputs: (trial, time, input).
        normal: (trial, time, state) standard normal numbers; zeros for the path of means.
        weights: (trial, time, mode) w, in place of the filter's.
    """
    noise = scaled(code.factor, normal, diagonal=code.diagonal)
    given = code.modes if weights is None else weights
    switching = weights is None and dynamics.modes > 1

    def place(predicted: Array | float, means: Array, along: tuple, factor: Array) -> tuple:
        """State, log probabilities of modes given the path up to it, the prior's means and q's mean."""
        offset, noise, given = along
        mixed = jax.nn.softmax(predicted + given, -1) if weights is None else given
        centre = jnp.einsum("bk,bks->bs", mixed, means) + offset
        x, filtered = centre + noise, jnp.zeros_like(mixed)
        if switching:
            of_modes = log_density(x[:, None] - means, factor)
            filtered = jax.nn.log_softmax(predicted + of_modes, -1)
        return x, filtered, means, centre

    def step(carry: tuple[Array, Array], along: tuple) -> tuple[tuple[Array, Array], tuple]:
        (x, filtered), (driven, u, *rest) = carry, along
        means, predicted = dynamics.means(x, driven), 0.0
        if switching:
            predicted = logsumexp(filtered[..., None] + prior.log_transitions(x, u), -2)
        x, filtered, *found = place(predicted, means, tuple(rest), dynamics.noise.factor())
        return (x, filtered), (x, *found)

    along = jax.tree.map(
        lambda array: jnp.swapaxes(array, 0, 1), (dynamics.driven(inputs), inputs, code.offset, noise, given)
    )
    first, rest = (jax.tree.map(lambda array, at=at: array[at], along) for at in (0, slice(1, None)))
    means = jnp.broadcast_to(dynamics.initial_mean, (len(inputs), *dynamics.initial_mean.shape))
    predicted = prior.log_initial() if switching else 0.0
    x, filtered, *found = place(predicted, means, first[2:], dynamics.initial_noise.factor())
    later = jax.lax.scan(step, (x, filtered), rest)[1]
    states, means, centre = (
        jnp.swapaxes(jnp.concatenate([a[None], b]), 0, 1) for a, b in zip((x, *found), later, strict=True)
    )
    return Path(states, means, centre, code.factor, code.diagonal)


def mean_field(dynamics: Dynamics, code: Code, inputs: Array, normal: Array) -> Path:
    """x_k ~ N(m_k, S_k): all bins at once; arguments as in `structured`."""
    states = code.offset + scaled(code.factor, normal, diagonal=code.diagonal)
    means = prior_means(dynamics, states, inputs)
    return Path(states, means, code.offset, code.factor, code.diagonal)


def chain(dynamics: Dynamics, links: Links, code: Code, inputs: Array, normal: Array, valid: Array) -> Path:
    """A Gaussian chain: `links`, and of each bin what the encoder says, exp(-(x - m)' S⁻¹ (x - m) / 2).

    Other arguments as in `structured`; bins that aren't `valid` (trial, time) say nothing.
    """
    precision, linear = potentials(code, valid)
    steps = onwards(*links.steps(jnp.exp(code.modes), inputs), precision, linear)
    states, centre = steps.draw(normal)
    return Path(states, prior_means(dynamics, states, inputs), centre, steps.factors, diagonal=False)


def potentials(code: Code, valid: Array) -> tuple[Array, Array]:
    """S⁻¹ (trial, time, state, state) and S⁻¹ m (trial, time, state), zero where bins aren't `valid`."""
    size = code.offset.shape[-1]
    if code.diagonal:
        precision = code.factor[..., None] ** -2 * jnp.eye(size)
    else:
        unit = jnp.broadcast_to(jnp.eye(size), code.factor.shape)
        inverse = triangular_solve(code.factor, unit, left_side=True, lower=True)
        precision = jnp.swapaxes(inverse, -1, -2) @ inverse
    there = valid[..., None] > 0
    linear = jnp.einsum("btij,btj->bti", precision, code.offset)
    return jnp.where(there[..., None], precision, 0.0), jnp.where(there, linear, 0.0)


def prior_means(dynamics: Dynamics, states: Array, inputs: Array) -> Array:
    """Where the prior expects each bin's state, given the one before, (trial, time, mode, state)."""
    means = dynamics.means(states[:, :-1], dynamics.driven(inputs[:, 1:]))
    first = jnp.broadcast_to(dynamics.initial_mean, (len(states), 1, *dynamics.initial_mean.shape))
    return jnp.concatenate([first, means], 1)
