"""From the states of a region to the activity of its neurons."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import gammaln

from ctd_models_jax.mrsds.config import EmissionConfig
from ctd_models_jax.mrsds.gaussian import LOG_2PI, Covariance, log_density, scaled
from ctd_models_jax.mrsds.perceptron import Perceptron
from ctd_models_jax.mrsds.regions import by_place, slices

_SMALLEST = 1e-6  # count per bin, lest a log be of zero


class Emissions(eqx.Module):
    """Gaussian activity, or counts with Poisson or negative-binomial variation, of each region's own states.

    Attributes:
        networks: One a region.
        noise: Covariance of Gaussian activity.
        log_dispersion: (neuron,) of negative-binomial counts: log r of the variance μ + μ² / r.
        family: ``gaussian``, ``poisson`` or ``negative_binomial``.
        link: From a network's output to the expected count: ``exp`` or ``softplus``.
        sizes: States of each region.
        order: Place of each neuron in the networks' joint output.
    """

    networks: list[Perceptron]
    noise: Covariance | None
    log_dispersion: Array | None
    family: str = eqx.field(static=True)
    link: str = eqx.field(static=True)
    sizes: tuple[int, ...] = eqx.field(static=True)
    order: tuple[int, ...] = eqx.field(static=True)

    @classmethod
    def draw(
        cls,
        key: Array,
        sizes: tuple[int, ...],
        neuron_regions: tuple[int, ...],
        family: str,
        settings: EmissionConfig,
        mean: Array,
        std: Array,
    ) -> Emissions:
        """Networks whose biases are the neurons' means (neuron,), and noise of their spread (neuron,)."""
        regions = np.asarray(neuron_regions)
        offset = _unlink(mean, settings.link) if family != "gaussian" else mean
        scale = std if family == "gaussian" else jnp.ones_like(std)
        networks = []
        for region, size in enumerate(sizes):
            mine = np.flatnonzero(regions == region)
            layers = (size, *settings.layers, len(mine))
            network = Perceptron.draw(jax.random.fold_in(key, region), layers, settings.activation)
            weights = [*network.weights[:-1], scale[mine][:, None] * network.weights[-1]]
            biases = [*network.biases[:-1], offset[mine]]
            networks.append(Perceptron(weights, biases, settings.activation))
        gaussian = family == "gaussian"
        noise = Covariance.start(len(regions), 1.0, full=settings.noise == "full")
        noise = Covariance(jnp.log(std), noise.lower)
        return cls(
            networks=networks,
            noise=noise if gaussian else None,
            log_dispersion=jnp.full(len(regions), 2.0) if family == "negative_binomial" else None,
            family=family,
            link=settings.link,
            sizes=tuple(sizes),
            order=tuple(np.argsort(np.argsort(regions, kind="stable")).tolist()),
        )

    @property
    def neuron_regions(self) -> tuple[int, ...]:
        """The region of each neuron."""
        neurons = [len(network.biases[-1]) for network in self.networks]
        return tuple(np.repeat(np.arange(len(neurons)), neurons)[np.asarray(self.order)].tolist())

    def linear(self, x: Array) -> Array:
        """Outputs of the networks (..., neuron), before the link."""
        states = slices(self.sizes)
        parts = [network(x[..., mine]) for network, mine in zip(self.networks, states, strict=True)]
        linear = jnp.concatenate(parts, -1)
        if self.order == tuple(range(len(self.order))):  # else the gradient adds up entry by entry
            return linear
        return linear[..., np.asarray(self.order)]

    def mean(self, x: Array) -> Array:
        """Expected activity, or count per bin, (..., neuron), of states (..., state)."""
        return self.linked(self.linear(x))

    def slopes(self, x: Array) -> Array:
        """Of `linear`, by the states of each neuron's own region: (..., neuron, place of the state).

        Of networks without hidden layers (neuron, place): the same of all states (..., state).
        """
        if all(len(network.weights) == 1 for network in self.networks):
            x = jnp.zeros_like(x[(0,) * (x.ndim - 1)])
        return by_place(jax.linearize(self.linear, x)[1], x, self.sizes)

    def linked(self, linear: Array) -> Array:
        """Expected activity, or count per bin, of the networks' outputs."""
        if self.family == "gaussian":
            return linear
        return jnp.exp(linear) if self.link == "exp" else jax.nn.softplus(linear)

    def variance(self, mean: Array) -> Array:
        """Of activity or counts whose means are (..., neuron); of a full covariance the diagonal."""
        if self.noise is not None:
            factor = self.noise.factor()
            squares = factor**2 if self.noise.diagonal else jnp.sum(factor**2, -1)
            return jnp.broadcast_to(squares, mean.shape)
        mean = mean + _SMALLEST
        if self.log_dispersion is None:
            return mean
        return mean + mean**2 * jnp.exp(-self.log_dispersion)

    def log_likelihood(self, values: Array, x: Array, scored: Array) -> Array:
        """Log density of values (..., neuron), summed over the neurons scored (..., neuron): (...,).

        With a full covariance a bin counts where all its neurons are scored.
        """
        return self.log_ratio(values, x, scored) + jnp.sum(jnp.where(scored > 0, self.base(values), 0.0), -1)

    def base(self, values: Array) -> Array:
        """What of a value's log density no parameter changes, (..., neuron): of counts -log(count!)."""
        return jnp.zeros_like(values) if self.family == "gaussian" else -gammaln(values + 1)

    def log_ratio(self, values: Array, x: Array, scored: Array) -> Array:
        """Log density less `base`: as `log_likelihood`, without what takes longest to compute of counts."""
        if self.noise is not None and not self.noise.diagonal:
            density = log_density(values - self.linear(x), self.noise.factor())
            return jnp.where(scored.min(-1) > 0, density, 0.0)
        return jnp.sum(jnp.where(scored > 0, self._each(values, x), 0.0), -1)

    def _each(self, values: Array, x: Array) -> Array:
        linear = self.linear(x)
        if self.noise is not None:
            whitened = (values - linear) * jnp.exp(-self.noise.log_scale)
            return -0.5 * (whitened**2 + LOG_2PI) - self.noise.log_scale
        mean = jnp.exp(linear) if self.link == "exp" else jax.nn.softplus(linear) + _SMALLEST
        log_mean = linear if self.link == "exp" else jnp.log(mean)
        if self.log_dispersion is None:
            return values * log_mean - mean
        r = jnp.exp(self.log_dispersion)
        log_total = jnp.logaddexp(self.log_dispersion, log_mean)
        ways = gammaln(values + r) - gammaln(r)
        return ways + r * (self.log_dispersion - log_total) + values * (log_mean - log_total)

    def sample(self, x: Array, key: Array) -> Array:
        """Draw activity or counts (..., neuron)."""
        mean, (first, second) = self.mean(x), jax.random.split(key)
        if self.noise is not None:
            factor, normal = self.noise.factor(), jax.random.normal(first, mean.shape)
            return mean + scaled(factor, normal, diagonal=self.noise.diagonal)
        if self.log_dispersion is not None:
            r = jnp.exp(self.log_dispersion)
            mean = mean * jax.random.gamma(first, jnp.broadcast_to(r, mean.shape)) / r
        return jax.random.poisson(second, mean).astype(mean.dtype)


def _unlink(mean: Array, link: str) -> Array:
    mean = jnp.maximum(mean, 1e-3)
    return jnp.log(mean) if link == "exp" else mean + jnp.log(-jnp.expm1(-mean))
