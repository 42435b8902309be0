"""MR-SDS's objective: divergences in closed form, and bounds that stay below the exact likelihood."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ctd_models_jax.mrsds import MRSDS, Trials, gaussian
from ctd_models_jax.mrsds.config import DynamicsConfig, EmissionConfig, EncoderConfig, ModeConfig, MRSDSConfig

TRIALS, TIME, INPUTS, STATES = 3, 5, 2, (2, 1)
REGIONS, HELD_IN = (0, 1, 0, 0, 1), (True, True, True, False, True)


def make(*, modes=1, posterior="structured", noise="full"):
    """A model of linear parts with Gaussian noise, and trials of which one is short."""
    settings = MRSDSConfig(
        states=list(STATES),
        modes=modes,
        posterior=posterior,
        dynamics=DynamicsConfig(layers=[], noise=noise),
        mode_transitions=ModeConfig(layers=[]),
        emissions=EmissionConfig(noise=noise),
        encoder=EncoderConfig(units=4, embedding=[3], layers=[], noise=noise),
    )
    model = MRSDS(REGIONS, HELD_IN, INPUTS, "gaussian", settings)
    params, _ = eqx.filter_jit(model.initialize)(jax.random.key(0))
    rng = np.random.default_rng(0)
    arrays, rest = eqx.partition(params, eqx.is_inexact_array)
    arrays = jax.tree.map(lambda a: a + 0.2 * rng.normal(size=a.shape).astype(np.float32), arrays)
    params = eqx.combine(arrays, rest)
    if modes > 1:  # all modes alike: the exact likelihood is that of one
        dynamics = jax.tree.map(
            lambda a: jnp.broadcast_to(a[:1], a.shape) if eqx.is_array(a) and len(a) == modes else a,
            params.dynamics,
            is_leaf=lambda a: isinstance(a, gaussian.Covariance),
        )
        params = params._replace(dynamics=dynamics)
    valid = (np.arange(TIME) < np.array([5, 3, 5])[:, None]).astype(np.float32)
    scored = np.repeat(valid[..., None], len(REGIONS), -1)
    values = rng.normal(size=scored.shape).astype(np.float32) * scored
    inputs = rng.normal(size=(TRIALS, TIME, INPUTS)).astype(np.float32)
    return model, params, Trials(values, valid, valid, scored, inputs)


def dense(covariance):
    factor = np.asarray(covariance.factor(), np.float64)
    factor = np.diag(factor) if factor.ndim == 1 else factor
    return factor @ factor.T


def exact(params, trials, row):
    """log p(y | u) of one trial from the joint distribution of all its bins."""
    dynamics, n = params.dynamics, sum(STATES)
    length = int(trials.valid[row].sum())
    zero = jnp.zeros(n)
    jacobian = eqx.filter_jit(jax.jacobian(lambda x: dynamics.means(x, jnp.zeros((1, n)))[0]))
    F = np.asarray(jacobian(zero), np.float64)
    constant = np.asarray(dynamics.means(zero, jnp.zeros((1, n)))[0], np.float64)
    driven = np.asarray(dynamics.driven(jnp.asarray(trials.inputs[row])), np.float64)[:, 0]
    C = np.asarray(jax.jacobian(params.emissions.linear)(zero), np.float64)
    offset = np.asarray(params.emissions.linear(zero), np.float64)
    mean, Q = [np.asarray(dynamics.initial_mean[0], np.float64)], dense(dynamics.noise)
    covariance = np.zeros((length, length, n, n))
    covariance[0, 0] = dense(dynamics.initial_noise)
    for k in range(1, length):
        mean.append(F @ mean[-1] + constant + driven[k])
        for j in range(k):
            covariance[k, j] = F @ covariance[k - 1, j]
            covariance[j, k] = covariance[k, j].T
        covariance[k, k] = F @ covariance[k - 1, k - 1] @ F.T + Q
    of_values = np.einsum("as,kjst,bt->kajb", C, covariance, C)
    of_values += np.einsum("kj,ab->kajb", np.eye(length), dense(params.emissions.noise))
    of_values = of_values.reshape(length * len(REGIONS), -1)
    residual = (trials.values[row, :length] - (np.array(mean) @ C.T + offset)).ravel()
    quadratic = residual @ np.linalg.solve(of_values, residual)
    return -0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * of_values)[1])


@pytest.mark.parametrize(
    ("posterior", "modes", "noise"),
    [
        ("structured", 1, "full"),
        ("mean_field", 1, "full"),
        ("structured", 2, "full"),
        ("mean_field", 2, "diagonal"),
    ],
)
def test_every_bound_is_below_the_kalman_likelihood(posterior, modes, noise):
    model, params, trials = make(modes=modes, posterior=posterior, noise=noise)

    @eqx.filter_jit
    def bounds(params, keys):
        found = jax.vmap(lambda key: model.bound(params, trials, key=key))(keys)
        return found.emissions + found.states

    samples = np.asarray(bounds(params, jax.random.split(jax.random.key(1), 500)))
    likelihoods = np.array([exact(params, trials, row) for row in range(TRIALS)])
    error = samples.std(0) / 500**0.5
    assert (samples.mean(0) < likelihoods + 3 * error).all()
    assert (samples.mean(0) > likelihoods - 1e3).all()


def silent(params, offset, factor):
    """An encoder that says the same in every bin: m, and the Cholesky factor of S."""
    head = params.encoder.head
    bias = jnp.zeros_like(head.biases[-1]).at[: len(offset)].set(offset)
    head = eqx.tree_at(lambda h: (h.weights[-1], h.biases[-1]), head, (0 * head.weights[-1], bias))
    scale = jnp.diag(factor)
    noise = gaussian.Covariance(jnp.log(scale), factor / scale[:, None])
    return params._replace(encoder=eqx.tree_at(lambda e: e.head, params.encoder, head), encoder_noise=noise)


def test_the_bound_is_reached_by_the_exact_posterior():
    """Of one bin, whose posterior is a normal distribution."""
    model, params, trials = make()
    trials = jax.tree.map(lambda a: jnp.asarray(a[:1, :1]), trials)
    n = sum(STATES)
    C = np.asarray(jax.jacobian(params.emissions.linear)(jnp.zeros(n)), np.float64)
    S0, R = dense(params.dynamics.initial_noise), dense(params.emissions.noise)
    prior_mean = np.asarray(params.dynamics.initial_mean[0], np.float64)
    residual = np.asarray(trials.values[0, 0]) - np.asarray(params.emissions.linear(jnp.asarray(prior_mean)))
    gain = S0 @ C.T @ np.linalg.inv(C @ S0 @ C.T + R)
    factor = np.linalg.cholesky(S0 - gain @ C @ S0)
    params = silent(params, jnp.asarray(gain @ residual, jnp.float32), jnp.asarray(factor, jnp.float32))
    keys = jax.random.split(jax.random.key(2), 4000)
    found = eqx.filter_jit(jax.vmap(lambda key: model.bound(params, trials, key=key)))(keys)
    samples = np.asarray(found.emissions + found.states)[:, 0]
    expected = exact(params, jax.tree.map(np.asarray, trials), 0)
    np.testing.assert_allclose(samples.mean(), expected, atol=4 * samples.std() / 4000**0.5 + 1e-4)


def test_the_divergence_is_zero_at_the_prior_alone():
    model, params, trials = make()
    bound, noise = eqx.filter_jit(model.bound), params.dynamics.noise
    params = params._replace(
        dynamics=eqx.tree_at(lambda d: d.initial_noise, params.dynamics, params.dynamics.noise)
    )
    same = silent(params, jnp.zeros(3), noise.factor())
    np.testing.assert_allclose(bound(same, trials, key=jax.random.key(0)).states, 0.0, atol=1e-5)
    for offset, factor in ((0.1 * jnp.eye(3)[1], noise.factor()), (jnp.zeros(3), 1.1 * noise.factor())):
        other = silent(params, offset, factor)
        assert (np.asarray(bound(other, trials, key=jax.random.key(0)).states) < -1e-3).all()


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


@pytest.mark.parametrize("posterior", ["structured", "mean_field"])
def test_every_covariance_is_learned(posterior):
    model, params, trials = make(posterior=posterior)

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(params):
        return sum(model.loss(params, trials, key=jax.random.key(0)).values())

    found = gradient(params)
    dynamics = found.dynamics
    below = np.tril_indices(3, -1)
    for covariance in (found.encoder_noise, dynamics.noise, dynamics.initial_noise, found.emissions.noise):
        assert np.abs(covariance.log_scale).min() > 0
        assert np.abs(np.asarray(covariance.lower)[below]).min() > 0
