"""Modes given a path of states: how likely the path is in each, summed over exactly, and which they were."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ctd_models_jax.mrsds import hmm
from ctd_models_jax.mrsds.dynamics import Dynamics, ModePrior
from ctd_models_jax.mrsds.gaussian import log_density
from ctd_models_jax.mrsds.posterior import Path


def likelihoods(dynamics: Dynamics, path: Path) -> Array:
    """Log p(x_k | x_{k-1}, z_k), (trial, time, mode)."""
    residual = path.states[:, :, None] - path.means
    first = log_density(residual[:, :1], dynamics.initial_noise.factor())
    return jnp.concatenate([first, log_density(residual[:, 1:], dynamics.noise.factor())], 1)


def log_prior(dynamics: Dynamics, prior: ModePrior, path: Path, inputs: Array, valid: Array) -> Array:
    """Log p(x | u) of each trial's path, summed over all sequences of modes, (trial,).

    Args:
        dynamics: The maps.
        prior: How modes follow each other.
        path: The states.
        inputs: (trial, time, input).
        valid: (trial, time) bins of the trial.
    """
    of_modes = likelihoods(dynamics, path)
    if dynamics.modes == 1:
        return jnp.sum(jnp.where(valid > 0, of_modes[..., 0], 0.0), -1)
    return hmm.log_normalizer(*_chain(prior, path, inputs), of_modes, valid)


def probabilities(dynamics: Dynamics, prior: ModePrior, path: Path, inputs: Array, valid: Array) -> Array:
    """Of each mode in each bin given the whole path, (trial, time, mode); arguments as in `log_prior`."""
    of_modes = likelihoods(dynamics, path)
    if dynamics.modes == 1:
        return jnp.ones_like(of_modes)
    return hmm.marginals(*_chain(prior, path, inputs), of_modes, valid).modes


def _chain(prior: ModePrior, path: Path, inputs: Array) -> tuple[Array, Array]:
    return prior.log_initial(), prior.log_transitions(path.states[:, :-1], inputs[:, 1:])
