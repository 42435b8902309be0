"""The objectives that MR-SDS was published with, which are no bounds of log p(y).

That of the mean-field posterior scores emissions at the prediction from the bin before instead of at the
state. That of the structured posterior adds what the encoder says to states drawn from the prior,
x_k = F(x_{k-1}, u_k) + e_k + psi_k with e_k ~ N(0, Q) and psi_k ~ N(m_k, S_k), draws modes from the encoder's
own probabilities of each bin, and weighs states and emissions over predictions 0 to 10 bins ahead.

Here the divergence of the modes is one, covariances are learned, transitions and initial modes are
normalised, and padding counts nowhere.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import logsumexp

from ctd_models_jax.mrsds import mode_posterior
from ctd_models_jax.mrsds.config import PublishedConfig
from ctd_models_jax.mrsds.dynamics import Dynamics, ModePrior
from ctd_models_jax.mrsds.gaussian import Covariance, entropy, log_density, scaled
from ctd_models_jax.mrsds.posterior import Code, Path, structured
from ctd_models_jax.recording import Trials

if TYPE_CHECKING:
    from ctd_models_jax.mrsds.model import Parameters

# Of emissions 0 to 10 bins ahead, and of states 1 to 10 bins ahead.
EMISSION_WEIGHTS = (0.45, 0.1, 0.1, 0.075, 0.075, 0.05, 0.05, 0.025, 0.025, 0.025, 0.025)
SWITCHING_EMISSION_WEIGHTS = (0.35, 0.15, 0.1, 0.075, 0.075, 0.075, 0.05, 0.05, 0.025, 0.025, 0.025)
STATE_WEIGHTS = (0.35, 0.15, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025)


class Published(NamedTuple):
    """Parts of a published objective, one sample, in nats.

    Attributes:
        emissions: (trial,) weighted log p(y | predictions).
        states: (trial,) weighted log p(x).
        entropy: (trial,) of the posterior.
        modes: (trial,) minus the weighted divergence of modes.
        path: The sample.
    """

    emissions: Array
    states: Array
    entropy: Array
    modes: Array
    path: Path

    def parts(self, beta: Array | float) -> dict[str, Array]:
        """By the names of their terms, states weighted by `beta`."""
        return {
            "published_emissions": self.emissions,
            "published_states": beta * self.states,
            "published_entropy": self.entropy,
            "published_modes": self.modes,
        }


def of_mean_field(params: Parameters, path: Path, trials: Trials) -> Published:
    """Log p(x) + sum_k log p(y_k | sum_z p(z_k | x) F_z(x_{k-1}, u_k)) + H[q(x)]; the first bin's at x_1."""
    inputs, valid = jnp.asarray(trials.inputs), jnp.asarray(trials.valid)
    given = (params.dynamics, params.mode_prior, path, inputs, valid)
    predicted = jnp.einsum("btk,btks->bts", mode_posterior.probabilities(*given), path.means)
    predicted = predicted.at[:, 0].set(path.states[:, 0])
    found = params.emissions.log_likelihood(jnp.asarray(trials.values), predicted, jnp.asarray(trials.scored))
    spread = jnp.where(valid > 0, entropy(path.factor, diagonal=path.diagonal), 0.0)
    log_prior = mode_posterior.log_prior(*given)
    return Published(found.sum(-1), log_prior, spread.sum(-1), jnp.zeros_like(log_prior), path)


def of_structured(
    params: Parameters, code: Code, trials: Trials, key: Array, settings: PublishedConfig
) -> Published:
    """The weighted terms over predictions of a rollout, less the divergence of modes."""
    dynamics, prior, switching = params.dynamics, params.mode_prior, params.dynamics.modes > 1
    inputs, valid = jnp.asarray(trials.inputs), jnp.asarray(trials.valid) > 0
    path = rollout(dynamics, prior, code, inputs, key)
    default = SWITCHING_EMISSION_WEIGHTS if switching else EMISSION_WEIGHTS
    weights = jnp.asarray(settings.emission_weights or default)
    values, scored = jnp.asarray(trials.values), jnp.asarray(trials.scored)
    now = params.emissions.log_likelihood(values, path.states, scored).sum(-1)
    q = jnp.exp(code.modes)
    first = log_density(path.states[:, :1] - dynamics.initial_mean, dynamics.initial_noise.factor())
    emissions, states = _ahead(params, path.states, q, trials, jax.random.fold_in(key, 1), settings, weights)
    spread = jnp.where(valid, entropy(code.factor, diagonal=code.diagonal), 0.0).sum(-1)
    divergence = mode_divergence(prior, code.modes, path.states, inputs, valid)
    return Published(
        emissions=weights[0] * now + emissions,
        states=settings.initial_weight * jnp.sum(q[:, 0] * first, -1) + states,
        entropy=spread,
        modes=-settings.mode_weight * divergence,
        path=path,
    )


def rollout(dynamics: Dynamics, prior: ModePrior, code: Code, inputs: Array, key: Array | None) -> Path:
    """x_k = F_z(x_{k-1}, u_k) + e_k + psi_k with modes drawn from the encoder's probabilities.

    Without a key the path of means: no noise, and F averaged over modes.
    """
    shape = code.offset.shape
    weights = jnp.exp(code.modes)
    if key is None:
        return structured(dynamics, prior, code, inputs, jnp.zeros(shape), weights=weights)
    keys = jax.random.split(key, 3)
    drawn = jax.random.categorical(keys[0], code.modes)
    noise = jax.random.normal(keys[1], shape)
    moved = [
        scaled(each.factor(), noise[:, bins], diagonal=each.diagonal)
        for bins, each in ((slice(0, 1), dynamics.initial_noise), (slice(1, None), dynamics.noise))
    ]
    code = code._replace(offset=code.offset + jnp.concatenate(moved, 1))
    weights = jax.nn.one_hot(drawn, weights.shape[-1])
    return structured(dynamics, prior, code, inputs, jax.random.normal(keys[2], shape), weights=weights)


def mode_divergence(prior: ModePrior, log_q: Array, states: Array, inputs: Array, valid: Array) -> Array:
    """KL(q(z) || p(z | x)) of modes that q holds independent of each other, (trial,).

    Args:
        prior: How modes follow each other.
        log_q: (trial, time, mode).
        states: (trial, time, state).
        inputs: (trial, time, input).
        valid: (trial, time) bins of the trial.
    """
    q = jnp.exp(log_q)
    log_p = prior.log_transitions(states[:, :-1], inputs[:, 1:])
    expected = jnp.einsum("bti,btij->btj", q[:, :-1], log_p)
    first = jnp.broadcast_to(prior.log_initial(), (len(q), 1, q.shape[-1]))
    each = jnp.sum(q * (log_q - jnp.concatenate([first, expected], 1)), -1)
    return jnp.sum(jnp.where(valid, each, 0.0), -1)


def _ahead(
    params: Parameters,
    states: Array,
    q: Array,
    trials: Trials,
    key: Array,
    settings: PublishedConfig,
    emission_weights: Array,
) -> tuple[Array, Array]:
    """Weighted log p(y | x^l) and log p(x | x^(l-1)) over l, x^l = F(x^(l-1)) + e from the bin before."""
    dynamics, prior = params.dynamics, params.mode_prior
    inputs, valid = jnp.asarray(trials.inputs), jnp.asarray(trials.valid) > 0
    values, scored = jnp.asarray(trials.values), jnp.asarray(trials.scored)
    time, driven = jnp.arange(inputs.shape[1]), dynamics.driven(inputs)
    noise: Covariance = dynamics.noise

    @partial(jax.checkpoint)
    def step(carry: tuple[Array, Array], along: tuple) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        ahead, key = along
        before, weights = (jnp.roll(array, 1, 1) for array in carry)
        weights = jnp.einsum("bti,btij->btj", weights, jnp.exp(prior.log_transitions(before, inputs)))
        means = dynamics.means(before, driven)
        counts = (time >= ahead)[None] & valid
        of_modes = log_density(states[:, :, None] - means, noise.factor())
        mixed = logsumexp(of_modes, -1, b=weights)
        found = jnp.where(ahead == 1, jnp.sum(q * of_modes, -1), mixed)
        moved = scaled(noise.factor(), jax.random.normal(key, before.shape), diagonal=noise.diagonal)
        x = jnp.where(counts[..., None], jnp.einsum("btk,btks->bts", weights, means) + moved, before)
        seen = params.emissions.log_likelihood(values, x, scored)
        seen, found = (jnp.sum(jnp.where(counts, part, 0.0), -1) for part in (seen, found))
        return (x, weights), (seen, found)

    state_weights = jnp.asarray(settings.state_weights or STATE_WEIGHTS)
    bins = len(state_weights)
    along = (1 + jnp.arange(bins), jax.random.split(key, bins))
    seen, found = jax.lax.scan(step, (states, q), along)[1]
    return emission_weights[1:] @ seen, state_weights @ found
