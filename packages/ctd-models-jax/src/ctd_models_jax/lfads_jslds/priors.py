"""Priors of initial states and of inferred inputs, and the Kullback-Leibler divergences (KL) to them, in
nats.

Posteriors are diagonal normal. All priors are around 0, each dimension on its own, and their scales are
trained.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ctd_models_jax.lfads_jslds.config import PriorConfig

LOG_2PI = math.log(2 * math.pi)
# Largest log-variance of a posterior, either way: none overflows or vanishes.
LOG_VARIANCE_BOUND = 10.0
# Nodes of the Gauss-Hermite rule for expectations of a Student-t log density.
NODES = 24


class Normal(NamedTuple):
    """A diagonal normal posterior.

    Attributes:
        mean: (..., dimension).
        log_variance: (..., dimension).
    """

    mean: Array
    log_variance: Array

    @property
    def std(self) -> Array:
        """(..., dimension)."""
        return jnp.exp(0.5 * self.log_variance)


def bounded_normal(values: Array, smallest_variance: float) -> Normal:
    """A posterior of values (..., 2 · dimension): means, then log-variances before they are bounded."""
    mean, raw = jnp.split(values, 2, -1)
    log_variance = LOG_VARIANCE_BOUND * jnp.tanh(raw / LOG_VARIANCE_BOUND)
    return Normal(mean, jnp.logaddexp(log_variance, math.log(smallest_variance)))


class Prior(Protocol):
    """A prior."""

    def divergence(self, posterior: Normal, sample: Array | None) -> Array:
        """What each entry contributes to the KL, of the posterior's shape.

        Args:
            posterior: (trial, dimension), or (trial, time, dimension).
            sample: What was passed on, of the same shape; None where nothing was drawn, which gives the exact
                form.
        """
        ...


class NormalPrior(eqx.Module):
    """N(0, v); always in closed form.

    Attributes:
        log_variance: log v, (dimension,).
    """

    log_variance: Array

    def divergence(self, posterior: Normal, sample: Array | None) -> Array:
        """See Prior."""
        del sample
        return _normal_divergence(posterior, 0.0, self.log_variance)


class AutoregressivePrior(eqx.Module):
    """u_1 ~ N(0, v / (1 - a²)), u_t ~ N(a u_{t-1}, v), a = exp(-1 / τ), over all bins at once.

    With a sample, a bin's divergence is that of its posterior from the prior given the sampled input of the
    bin before: by the chain rule its expectation is the KL of the whole sequence, also where the posterior of
    a bin depends on the inputs sampled before it. The exact form averages over the bin before, as if it did
    not.

    Attributes:
        log_time_constant: log τ, (dimension,), τ in bins.
        log_variance: log v, (dimension,).
        exact: Whether the exact form is taken even where there is a sample.
    """

    log_time_constant: Array
    log_variance: Array
    exact: bool = eqx.field(static=True)

    def divergence(self, posterior: Normal, sample: Array | None) -> Array:
        """See Prior."""
        sample = None if self.exact else sample
        rate = jnp.exp(-self.log_time_constant)
        a = jnp.exp(-rate)
        # 1 - a² without the loss of digits where a is near 1.
        stationary = self.log_variance - jnp.log(-jnp.expm1(-2 * rate))
        before = posterior.mean if sample is None else sample
        first = _normal_divergence(jax.tree.map(lambda x: x[:, :1], posterior), 0.0, stationary)
        later = jax.tree.map(lambda x: x[:, 1:], posterior)
        rest = _normal_divergence(later, a * before[:, :-1], self.log_variance)
        if sample is None:
            rest = rest + 0.5 * a**2 * jnp.exp(posterior.log_variance[:, :-1] - self.log_variance)
        return jnp.concatenate([first, rest], 1)


class StudentTPrior(eqx.Module):
    """Student's t, the same in all bins: heavy tails, for inputs that come now and then.

    Attributes:
        log_scale: (dimension,).
        degrees_of_freedom: Of the distribution.
        exact: Whether the expectation over the posterior is taken by Gauss-Hermite quadrature.
    """

    log_scale: Array
    degrees_of_freedom: float = eqx.field(static=True)
    exact: bool = eqx.field(static=True)

    def divergence(self, posterior: Normal, sample: Array | None) -> Array:
        """See Prior."""
        if sample is not None and not self.exact:
            return -_entropy(posterior) - self.log_density(sample)
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        points = posterior.mean[..., None] + posterior.std[..., None] * nodes.astype(np.float32)
        densities = jnp.moveaxis(self.log_density(jnp.moveaxis(points, -1, 0)), 0, -1)
        return -_entropy(posterior) - densities @ jnp.asarray(weights / weights.sum(), densities.dtype)

    def log_density(self, values: Array) -> Array:
        """Log density of each entry of (..., dimension)."""
        df = self.degrees_of_freedom
        constant = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
        standard = values * jnp.exp(-self.log_scale)
        return constant - self.log_scale - 0.5 * (df + 1) * jnp.log1p(standard**2 / df)


class LaplacePrior(eqx.Module):
    """exp(-|u| / b) / 2b, the same in all bins: most inputs near 0.

    Attributes:
        log_scale: log b, (dimension,).
        exact: Whether E|u| over the posterior is taken in closed form.
    """

    log_scale: Array
    exact: bool = eqx.field(static=True)

    def divergence(self, posterior: Normal, sample: Array | None) -> Array:
        """See Prior."""
        if sample is not None and not self.exact:
            size = jnp.abs(sample)
        else:
            ratio = posterior.mean / posterior.std
            folded = math.sqrt(2 / math.pi) * posterior.std * jnp.exp(-0.5 * ratio**2)
            size = folded + posterior.mean * jax.scipy.special.erf(ratio / math.sqrt(2))
        return size * jnp.exp(-self.log_scale) + math.log(2) + self.log_scale - _entropy(posterior)


def make_prior(settings: PriorConfig, size: int) -> Prior | None:
    """A prior of its settings for so many dimensions; None where means are passed on."""
    exact = settings.estimate == "exact"
    log_variance = jnp.full(size, math.log(settings.variance))
    log_scale = jnp.full(size, math.log(settings.scale))
    match settings.kind:
        case "normal":
            return NormalPrior(log_variance)
        case "autoregressive":
            return AutoregressivePrior(
                jnp.full(size, math.log(settings.time_constant)), log_variance, exact=exact
            )
        case "student_t":
            return StudentTPrior(log_scale, settings.degrees_of_freedom, exact=exact)
        case "laplace":
            return LaplacePrior(log_scale, exact=exact)
    return None


def _entropy(posterior: Normal) -> Array:
    return 0.5 * (1 + LOG_2PI + posterior.log_variance)


def _normal_divergence(posterior: Normal, mean: Array | float, log_variance: Array) -> Array:
    """KL of each entry from N(mean, variance)."""
    spread = jnp.exp(posterior.log_variance - log_variance)
    shift = (posterior.mean - mean) ** 2 * jnp.exp(-log_variance)
    return 0.5 * (spread + shift - 1 + log_variance - posterior.log_variance)
