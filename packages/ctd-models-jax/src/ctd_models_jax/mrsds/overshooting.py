"""Latent overshooting: what states some bins back predict of the activity, as an extra term.

Source: D. Hafner and others, Learning latent dynamics for planning from pixels, ICML 2019.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from ctd_models_jax.mrsds.dynamics import Dynamics, ModePrior
from ctd_models_jax.mrsds.emissions import Emissions
from ctd_models_jax.recording import Trials


def advance(
    dynamics: Dynamics,
    prior: ModePrior,
    states: Array,
    modes: Array,
    inputs: Array,
    driven: Array | None = None,
) -> tuple[Array, Array]:
    """Expected states and mode probabilities one bin on, of states (..., state) and modes (..., mode).

    Args:
        dynamics: The maps.
        prior: How modes follow each other.
        states: (..., state).
        modes: (..., mode).
        inputs: (..., input) of the next bin.
        driven: What the dynamics make of these, where that is known.
    """
    modes = jnp.einsum("...i,...ij->...j", modes, jnp.exp(prior.log_transitions(states, inputs)))
    means = dynamics.means(states, dynamics.driven(inputs) if driven is None else driven)
    return jnp.einsum("...k,...ks->...s", modes, means), modes


def overshooting(
    dynamics: Dynamics,
    prior: ModePrior,
    emissions: Emissions,
    states: Array,
    modes: Array,
    trials: Trials,
    bins: int,
) -> Array:
    """Mean over 1 to `bins` bins of the negative log-likelihood, per scored value, of what they predict.

    Args:
        dynamics: The maps.
        prior: How modes follow each other.
        emissions: From states to activity.
        states: (trial, time, state).
        modes: (trial, time, mode).
        trials: What is predicted.
        bins: How far.
    """
    inputs = jnp.asarray(trials.inputs)
    values, scored = jnp.asarray(trials.values), jnp.asarray(trials.scored)
    time = jnp.arange(inputs.shape[1])

    driven = dynamics.driven(inputs)
    base = jnp.where(scored > 0, emissions.base(values), 0.0).sum((0, 2))  # (time,): the same however far

    def step(carry: tuple[Array, Array], ahead: Array) -> tuple[tuple[Array, Array], Array]:
        before, weights = (jnp.roll(array, 1, 1) for array in carry)
        states, modes = advance(dynamics, prior, before, weights, inputs, driven)
        reached = (time >= ahead)[None, :]
        states = jnp.where(reached[..., None], states, before)
        kept = jnp.where(reached[..., None], scored, 0.0)
        total = _log_ratio(emissions, states, values, kept) + jnp.sum(jnp.where(time >= ahead, base, 0.0))
        return (states, modes), -total / jnp.maximum(jnp.sum(kept), 1.0)

    return jnp.mean(jax.lax.scan(step, (states, modes), 1 + jnp.arange(bins))[1])


@jax.custom_vjp
def _log_ratio(emissions: Emissions, states: Array, values: Array, scored: Array) -> Array:
    """Of all that is scored, with its gradient found in the same pass: nothing is kept or computed again."""
    return jnp.sum(emissions.log_ratio(values, states, scored))


def _with_gradient(emissions: Emissions, states: Array, values: Array, scored: Array) -> tuple[Array, tuple]:
    def total(emissions: Emissions, states: Array) -> Array:
        return jnp.sum(emissions.log_ratio(values, states, scored))

    return jax.value_and_grad(total, (0, 1))(emissions, states)


def _scaled(gradient: tuple, cotangent: Array) -> tuple:
    return (*jax.tree.map(lambda part: cotangent * part, gradient), None, None)


_log_ratio.defvjp(_with_gradient, _scaled)
