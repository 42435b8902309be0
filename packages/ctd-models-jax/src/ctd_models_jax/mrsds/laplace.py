"""A Laplace posterior: the Gaussian chain about the path of states that Newton's method leads to.

Each step linearises the prior's own F about the path so far, and takes of the activity its slope and Fisher
information there; the exact posterior of that linear system is the next chain, and its mean the next path. So
of linear systems with Gaussian activity the first chain is exact. With several modes F is their mean, by the
modes' probabilities given the path so far, so that the path is near the likeliest one, not at it. The bound
holds wherever the steps end.

Source: L. Paninski and others, A new look at state-space models for neural data, J. Comput. Neurosci. 29,
2010; B. Bell, The iterated Kalman smoother as a Gauss-Newton method, SIAM J. Optim. 4, 1994.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ctd_models_jax.mrsds import mode_posterior
from ctd_models_jax.mrsds.chain import Onwards, factors, onwards
from ctd_models_jax.mrsds.dynamics import Dynamics, ModePrior
from ctd_models_jax.mrsds.emissions import Emissions
from ctd_models_jax.mrsds.posterior import Path, prior_means
from ctd_models_jax.mrsds.regions import unpad


def laplace(
    dynamics: Dynamics,
    prior: ModePrior,
    emissions: Emissions,
    start: Array,
    values: Array,
    seen: Array,
    inputs: Array,
    valid: Array,
    normal: Array,
    *,
    steps: int,
) -> Path:
    """A path drawn from the chain that `steps` steps lead to.

    Args:
        dynamics: F and its noise.
        prior: How modes follow each other.
        emissions: From states to activity.
        start: (trial, time, state) the path that the steps begin at.
        values: (trial, time, neuron).
        seen: (trial, time, neuron) 1 for values that the posterior may use.
        inputs: (trial, time, input).
        valid: (trial, time) bins of the trial.
        normal: (trial, time, state) standard normal numbers; zeros for the mean.
        steps: At least one.
    """
    noise = factors(dynamics.initial_noise, dynamics.noise, inputs.shape[1])

    def chain(path: Array) -> Onwards:
        maps, shifts = _linearised(dynamics, prior, path, inputs, valid)
        precision, slope = information(emissions, path, values, seen)
        linear = jnp.einsum("btij,btj->bti", precision, path) + slope
        return onwards(maps, shifts, noise, precision, linear)

    still = jnp.zeros_like(normal)
    for _ in range(steps - 1):
        start = chain(start).draw(still)[0]
    found = chain(start)
    states, centre = found.draw(normal)
    return Path(states, prior_means(dynamics, states, inputs), centre, found.factors, diagonal=False)


def information(emissions: Emissions, x: Array, values: Array, seen: Array) -> tuple[Array, Array]:
    """Fisher information (trial, time, state, state) and slope (trial, time, state) of log p(y | x) at x.

    All three families are exponential in their means μ, so that both follow from dμ/dx and the variance. A
    full covariance of Gaussian activity counts by its diagonal.
    """
    linear, slopes = emissions.linear(x), emissions.slopes(x)
    mean, rate = jax.jvp(emissions.linked, (linear,), (jnp.ones_like(linear),))
    weights = jnp.where(seen > 0, 1 / emissions.variance(mean), 0.0)
    apart = np.eye(len(emissions.sizes), dtype=np.float32)
    of_region = apart[np.asarray(emissions.neuron_regions)]
    rows = "ni" if slopes.ndim == 2 else "btni"
    given = (slopes, weights * rate**2, of_region, slopes)
    blocks = jnp.einsum(f"{rows},btn,nr,{rows[:-1]}j->btrij", *given)
    precision = unpad(jnp.einsum("btrij,rs->btrisj", blocks, apart), emissions.sizes)
    precision = unpad(jnp.moveaxis(precision, -1, 2), emissions.sizes)  # symmetric: columns come first
    slope = jnp.einsum(f"{rows},btn,nr->btri", slopes, weights * rate * (values - mean), of_region)
    return precision, unpad(slope, emissions.sizes)


def _linearised(
    dynamics: Dynamics, prior: ModePrior, path: Array, inputs: Array, valid: Array
) -> tuple[Array, Array]:
    """F(x_{k-1}, u_k) about the path as A x + b; the first bin's A is zero and its b the initial mean."""
    means = prior_means(dynamics, path, inputs)
    here = Path(path, means, path, jnp.ones_like(path), diagonal=True)
    weights = mode_posterior.probabilities(dynamics, prior, here, inputs, valid)
    before = path[:, :-1]
    slopes = dynamics.slopes(before)
    slopes = jnp.broadcast_to(slopes, (*slopes.shape[:2], dynamics.modes, *slopes.shape[3:]))
    maps = jnp.einsum("btk,btkij->btij", weights[:, 1:], slopes)
    shifts = jnp.einsum("btk,btki->bti", weights, means)
    shifts = shifts.at[:, 1:].add(-jnp.einsum("btij,btj->bti", maps, before))
    return jnp.pad(maps, [(0, 0), (1, 0), (0, 0), (0, 0)]), shifts
