"""MR-SDS's objective: divergences in closed form, and bounds that stay below the exact likelihood."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_parameters import random_parameters

from ctd_models_jax.mrsds import MRSDS, Trials, gaussian, mode_posterior
from ctd_models_jax.mrsds.config import DynamicsConfig, EmissionConfig, EncoderConfig, ModeConfig, MRSDSConfig

TRIALS, TIME, INPUTS, STATES = 3, 5, 2, (2, 1)
REGIONS, HELD_IN = (0, 1, 0, 0, 1), (True, True, True, False, True)
SAMPLES = 1000


@lru_cache
def make(*, modes=1, posterior="structured", noise="full", held_in=HELD_IN):
    """A model of linear parts with Gaussian noise, its parameters, and a compiled sampler of its bounds."""
    settings = MRSDSConfig(
        states=list(STATES),
        modes=modes,
        posterior=posterior,
        dynamics=DynamicsConfig(layers=[], noise=noise),
        mode_transitions=ModeConfig(layers=[]),
        emissions=EmissionConfig(noise=noise),
        encoder=EncoderConfig(units=4, embedding=[3], layers=[], noise=noise),
    )
    model = MRSDS(REGIONS, held_in, INPUTS, "gaussian", settings)
    params = random_parameters(model, scale=0.25)
    if modes > 1:  # all modes alike: the exact likelihood is that of one
        dynamics = jax.tree.map(
            lambda a: np.broadcast_to(a[:1], a.shape) if eqx.is_array(a) and len(a) == modes else a,
            params.dynamics,
            is_leaf=lambda a: isinstance(a, gaussian.Covariance),
        )
        params = params._replace(dynamics=dynamics)

    @eqx.filter_jit
    def bounds(params, trials):
        keys = jax.random.split(jax.random.key(1), SAMPLES)
        found = jax.vmap(lambda key: model.bound(params, trials, key=key))(keys)
        return found._replace(path=found.path.states)

    return model, params, bounds


def data(lengths=(5, 3, 5)):
    """Trials of several lengths."""
    rng = np.random.default_rng(0)
    valid = (np.arange(TIME) < np.array(lengths)[:, None]).astype(np.float32)
    scored = np.repeat(valid[..., None], len(REGIONS), -1)
    values = rng.normal(size=scored.shape).astype(np.float32) * scored
    inputs = rng.normal(size=(TRIALS, TIME, INPUTS)).astype(np.float32)
    return Trials(values, valid, valid, scored, inputs)


def dense(covariance):
    factor = np.asarray(covariance.factor(), np.float64)
    factor = np.diag(factor) if factor.ndim == 1 else factor
    return factor @ factor.T


@eqx.filter_jit
def linear_parts(params, inputs):
    """F, its constant, what inputs add, C and its offset."""
    dynamics, zero = params.dynamics, jnp.zeros(sum(STATES))
    silent = jnp.zeros((dynamics.modes, sum(STATES)))

    def means(x):
        return dynamics.means(x, silent)[0]

    driven, linear = dynamics.driven(inputs)[..., 0, :], params.emissions.linear
    return jax.jacobian(means)(zero), means(zero), driven, jax.jacobian(linear)(zero), linear(zero)


def exact(params, trials):
    """log p(y | u) of each trial from the joint distribution of all its bins."""
    F, constant, driven, C, offset = (
        np.asarray(part, np.float64) for part in linear_parts(params, trials.inputs)
    )
    dynamics, n, found = params.dynamics, sum(STATES), []
    for row in range(TRIALS):
        length = int(trials.valid[row].sum())
        mean, Q = [np.asarray(dynamics.initial_mean[0], np.float64)], dense(dynamics.noise)
        covariance = np.zeros((length, length, n, n))
        covariance[0, 0] = dense(dynamics.initial_noise)
        for k in range(1, length):
            mean.append(F @ mean[-1] + constant + driven[row, k])
            for j in range(k):
                covariance[k, j] = F @ covariance[k - 1, j]
                covariance[j, k] = covariance[k, j].T
            covariance[k, k] = F @ covariance[k - 1, k - 1] @ F.T + Q
        of_values = np.einsum("as,kjst,bt->kajb", C, covariance, C)
        of_values += np.einsum("kj,ab->kajb", np.eye(length), dense(params.emissions.noise))
        of_values = of_values.reshape(length * len(REGIONS), -1)
        residual = (trials.values[row, :length] - (np.array(mean) @ C.T + offset)).ravel()
        quadratic = residual @ np.linalg.solve(of_values, residual)
        found.append(-0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * of_values)[1]))
    return np.array(found)


@pytest.mark.parametrize(
    ("posterior", "modes", "noise"),
    [
        ("structured", 1, "full"),
        ("mean_field", 1, "full"),
        ("chain", 1, "full"),
        ("laplace", 1, "full"),
        ("structured", 2, "full"),
        ("mean_field", 2, "diagonal"),
        ("chain", 2, "diagonal"),
        ("laplace", 2, "diagonal"),
    ],
)
def test_every_bound_is_below_the_kalman_likelihood(posterior, modes, noise):
    _, params, bounds = make(modes=modes, posterior=posterior, noise=noise)
    found = bounds(params, data())
    samples, likelihoods = np.asarray(found.emissions + found.states), exact(params, data())
    assert (samples.mean(0) < likelihoods + 3 * samples.std(0) / SAMPLES**0.5).all()
    assert (samples.mean(0) > likelihoods - 1e3).all()


class Exact(eqx.Module):
    """An encoder that says of each bin what its activity does: a likelihood N(m; x, S), and logits of modes.

    Attributes:
        read: m of the activity less its offset, (state, neuron).
        offset: (neuron,).
        modes: How many.
    """

    read: jax.Array
    offset: jax.Array
    modes: int = eqx.field(static=True)

    def __call__(self, values, shown, visible, inputs):
        m = (values - self.offset) @ self.read.T
        logits = inputs[..., :1] * jnp.arange(self.modes if self.modes > 1 else 0)
        return jnp.concatenate([m, jnp.zeros_like(m), logits], -1)


def knowing(params, modes):
    """Parameters whose posterior is a chain of the prior's own system, with the encoder above."""
    F, constant, _, C, offset = (np.asarray(part) for part in linear_parts(params, np.zeros((1, 1, INPUTS))))
    by_input = linear_parts(params, np.eye(INPUTS, dtype=np.float32)[:, None])[2][:, 0]
    weighted = C.T @ np.linalg.inv(dense(params.emissions.noise))
    covariance = np.linalg.inv(weighted @ C)
    factor = np.linalg.cholesky(covariance).astype(np.float32)
    links = dataclasses.replace(
        params.links,
        maps=np.tile(F, (modes, 1, 1)),
        shifts=np.tile(constant, (modes, 1)),
        input_maps=np.tile(np.asarray(by_input).T, (modes, 1, 1)),
        noise=params.dynamics.noise,
        initial_mean=params.dynamics.initial_mean[0],
        initial_noise=params.dynamics.initial_noise,
    )
    scale = np.diag(factor)
    noise = gaussian.Covariance(np.log(scale), factor / scale[:, None])
    read = (covariance @ weighted).astype(np.float32)
    return params._replace(links=links, encoder=Exact(read, offset, modes), encoder_noise=noise)


def log_weight(model, params, trials, key):
    """log p(y, x) - log q(x) at a draw of q: log p(y) at every x where q is the exact posterior."""
    path = model.path(params, model.encode(params, trials), trials, key)
    emissions = params.emissions.log_likelihood(trials.values, path.states, trials.scored).sum(-1)
    away = (path.states - path.centre)[..., None]
    whitened = jax.lax.linalg.triangular_solve(path.factor, away, left_side=True, lower=True)[..., 0]
    log_q = -0.5 * jnp.sum(whitened**2, -1) - 0.5 * sum(STATES) * gaussian.LOG_2PI
    log_q -= gaussian.log_determinant(path.factor, diagonal=False)
    given = (path, jnp.asarray(trials.inputs), jnp.asarray(trials.valid))
    log_prior = mode_posterior.log_prior(params.dynamics, params.mode_prior, *given)
    return emissions + log_prior - jnp.sum(trials.valid * log_q, -1)


@pytest.mark.parametrize(
    ("posterior", "modes", "noise"),
    [("chain", 1, "full"), ("chain", 2, "full"), ("laplace", 1, "diagonal"), ("laplace", 2, "diagonal")],
)
def test_the_kalman_likelihood_is_reached(posterior, modes, noise):
    """By a chain whose encoder tells each bin's likelihood, and by Newton's method from anywhere."""
    model, params, bounds = make(modes=modes, posterior=posterior, noise=noise, held_in=(True,) * 5)
    if posterior == "chain":
        params = knowing(params, modes)
    trials = data((5, 3, 1))
    likelihoods, found = exact(params, trials), bounds(params, trials)
    samples = np.asarray(found.emissions + found.states)
    error = samples.std(0) / SAMPLES**0.5
    np.testing.assert_array_less(abs(samples.mean(0) - likelihoods), 4 * error + 1e-3)
    weight = eqx.filter_jit(lambda params, key: log_weight(model, params, trials, key))
    for seed in range(3):
        np.testing.assert_allclose(weight(params, jax.random.key(seed)), likelihoods, rtol=1e-4)


def silent(params, offset, factor):
    """An encoder that says the same in every bin: m, and the Cholesky factor of S."""
    head = params.encoder.head
    bias = np.zeros_like(head.biases[-1])
    bias[: len(offset)] = offset
    head = eqx.tree_at(lambda h: (h.weights[-1], h.biases[-1]), head, (0 * head.weights[-1], bias))
    scale = np.diag(factor)
    noise = gaussian.Covariance(np.log(scale), factor / scale[:, None])
    return params._replace(encoder=eqx.tree_at(lambda e: e.head, params.encoder, head), encoder_noise=noise)


def test_the_bound_is_reached_by_the_exact_posterior():
    """Of one bin, whose posterior is a normal distribution."""
    _, params, bounds = make()
    trials = data((1, 1, 1))
    trials = trials._replace(
        **{name: np.repeat(getattr(trials, name)[:1], TRIALS, 0) for name in ("values",)}
    )
    C, offset = (np.asarray(part, np.float64) for part in linear_parts(params, trials.inputs)[3:])
    S0, R = dense(params.dynamics.initial_noise), dense(params.emissions.noise)
    residual = trials.values[0, 0] - (C @ params.dynamics.initial_mean[0] + offset)
    gain = S0 @ C.T @ np.linalg.inv(C @ S0 @ C.T + R)
    factor = np.linalg.cholesky(S0 - gain @ C @ S0)
    params = silent(params, (gain @ residual).astype(np.float32), factor.astype(np.float32))
    found = bounds(params, trials)
    samples = np.asarray(found.emissions + found.states)
    error = samples.std(0) / SAMPLES**0.5
    np.testing.assert_array_less(abs(samples.mean(0) - exact(params, trials)), 4 * error + 1e-4)


def test_the_divergence_is_zero_at_the_prior_alone():
    _, params, bounds = make()
    noise = params.dynamics.noise
    params = params._replace(dynamics=dataclasses.replace(params.dynamics, initial_noise=noise))
    factor = np.asarray(noise.factor())
    same = silent(params, np.zeros(3, np.float32), factor)
    np.testing.assert_allclose(bounds(same, data()).states, 0.0, atol=1e-4)
    for offset, other in ((0.1 * np.eye(3)[1], factor), (np.zeros(3), 1.1 * factor)):
        assert (np.asarray(bounds(silent(params, offset, other), data()).states) < -1e-3).all()


@pytest.mark.parametrize("of_prior", [False, True])
@pytest.mark.parametrize("of_posterior", [False, True])
def test_the_divergence_is_the_closed_form(of_posterior, of_prior):
    rng = np.random.default_rng(3)

    def draw(full):
        lower = jnp.asarray(rng.normal(size=(3, 3)), jnp.float32) if full else None
        return gaussian.Covariance(jnp.asarray(rng.normal(size=3), jnp.float32), lower)

    q, p = draw(of_posterior), draw(of_prior)
    offset, log_scale = (jnp.asarray(rng.normal(size=(4, 3)), jnp.float32) for _ in range(2))
    factor = q.factor(log_scale)
    found = gaussian.divergence(offset, factor, p.factor(), diagonal=q.diagonal)
    for row in range(4):
        L = np.asarray(factor[row], np.float64)
        S = np.diag(L**2) if L.ndim == 1 else L @ L.T
        Q, m = dense(p), np.asarray(offset[row], np.float64)
        inverse = np.linalg.inv(Q)
        logs = np.linalg.slogdet(Q)[1] - np.linalg.slogdet(S)[1]
        np.testing.assert_allclose(
            found[row], 0.5 * (np.trace(inverse @ S) + m @ inverse @ m - 3 + logs), rtol=1e-3
        )


@pytest.mark.parametrize("posterior", ["structured", "mean_field", "chain", "laplace"])
def test_every_covariance_is_learned(posterior):
    model, params, _ = make(posterior=posterior)
    gradient = eqx.filter_jit(
        eqx.filter_grad(lambda params: sum(model.loss(params, data(), key=jax.random.key(0)).values()))
    )
    found = gradient(params)
    dynamics, below = found.dynamics, np.tril_indices(3, -1)
    own = () if found.links is None else (found.links.noise, found.links.initial_noise)
    if posterior != "laplace":  # whose covariance is the curvature
        own += (found.encoder_noise,)
    for covariance in (dynamics.noise, dynamics.initial_noise, found.emissions.noise, *own):
        assert np.abs(covariance.log_scale).min() > 0
        assert np.abs(np.asarray(covariance.lower)[below]).min() > 0
