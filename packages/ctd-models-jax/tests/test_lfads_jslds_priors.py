"""Priors of LFADS-JSLDS: closed forms against Monte Carlo and each other; zero only where q is the prior."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ctd_models_jax.lfads_jslds.config import LFADSJSLDSConfig, PriorConfig
from ctd_models_jax.lfads_jslds.observations import LINEAR_ABOVE, expected_counts, poisson
from ctd_models_jax.lfads_jslds.priors import Normal, bounded_normal, make_prior

TIME, SIZE, SAMPLES = 6, 2, 20_000
KINDS = ("normal", "autoregressive", "student_t", "laplace")


def settings(kind, estimate="sample", **more):
    return PriorConfig(kind, variance=0.3, time_constant=3.0, scale=0.4, estimate=estimate, **more)


def posterior():
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(1, TIME, SIZE)).astype(np.float32)
    return Normal(jnp.asarray(mean), jnp.asarray(rng.normal(-1, 0.5, mean.shape).astype(np.float32)))


def log_prior(kind, u):
    """Log density of u (sample, time, dimension) under the priors of `settings`."""
    if kind == "normal":
        return -0.5 * (u**2 / 0.3 + np.log(2 * np.pi * 0.3))
    if kind == "laplace":
        return -np.abs(u) / 0.4 - np.log(0.8)
    if kind == "student_t":
        from scipy.stats import t

        return t.logpdf(u, 3, scale=0.4)
    a = np.exp(-1 / 3)
    mean = np.concatenate([np.zeros_like(u[:, :1]), a * u[:, :-1]], 1)
    variance = np.r_[0.3 / (1 - a**2), np.full(TIME - 1, 0.3)][None, :, None]
    return -0.5 * ((u - mean) ** 2 / variance + np.log(2 * np.pi * variance))


@pytest.mark.parametrize("kind", KINDS)
def test_divergences_equal_monte_carlo(kind):
    q = posterior()
    noise = np.random.default_rng(1).normal(size=(SAMPLES, TIME, SIZE)).astype(np.float32)
    u = np.asarray(q.mean + q.std * noise, np.float64)
    log_q = -0.5 * (noise**2 + np.log(2 * np.pi)) - np.log(np.asarray(q.std, np.float64))
    draws = (log_q - log_prior(kind, u)).sum((1, 2))
    error = draws.std() / SAMPLES**0.5
    exact = float(make_prior(settings(kind, "exact"), SIZE).divergence(q, None).sum())
    assert exact == pytest.approx(draws.mean(), abs=4 * error)
    many = Normal(*(jnp.broadcast_to(part, u.shape) for part in q))
    sampled = make_prior(settings(kind), SIZE).divergence(many, jnp.asarray(u, jnp.float32)).sum((1, 2))
    spread = float(sampled.std()) / SAMPLES**0.5
    assert float(sampled.mean()) == pytest.approx(exact, abs=max(5 * spread, 1e-5 * exact))
    again = make_prior(settings(kind, "exact"), SIZE).divergence(q, jnp.asarray(u[:1], jnp.float32))
    assert float(again.sum()) == pytest.approx(exact, rel=1e-5)


def test_the_autoregressive_divergence_conditions_on_the_sample_that_was_passed_on():
    """Bin by bin: KL(N(m_t, s_t²) ‖ N(a u_{t-1}, v)), in a plain loop."""
    q, a = posterior(), np.exp(-1 / 3)
    sample = np.random.default_rng(2).normal(size=(1, TIME, SIZE)).astype(np.float32)
    found = make_prior(settings("autoregressive"), SIZE).divergence(q, jnp.asarray(sample))
    mean, variance = np.asarray(q.mean, np.float64), np.exp(np.asarray(q.log_variance, np.float64))
    for k in range(TIME):
        prior_mean, prior = (a * sample[:, k - 1], 0.3) if k else (0.0, 0.3 / (1 - a**2))
        ratio = variance[:, k] / prior
        expected = 0.5 * (ratio + (mean[:, k] - prior_mean) ** 2 / prior - 1 - np.log(ratio))
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-4)


def test_a_divergence_is_zero_where_the_posterior_is_the_prior_and_above_elsewhere():
    prior = make_prior(settings("normal"), SIZE)
    same = Normal(jnp.zeros((1, SIZE)), jnp.full((1, SIZE), np.log(0.3)))
    np.testing.assert_allclose(prior.divergence(same, None), 0.0, atol=1e-6)
    for kind in KINDS:
        exact = make_prior(settings(kind, "exact"), SIZE)
        assert (exact.divergence(posterior(), None).sum((1, 2)) > 0).all()


def test_a_very_slow_and_a_very_fast_prior_are_finite():
    for time_constant in (1e-10, 1e6):
        prior = make_prior(PriorConfig("autoregressive", time_constant=time_constant), SIZE)
        value, slope = jax.value_and_grad(lambda p: p.divergence(posterior(), None).sum())(prior)
        assert np.isfinite(value)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


def test_an_initial_state_has_no_time():
    with pytest.raises(ValueError, match="an initial state has no time"):
        LFADSJSLDSConfig(initial_prior=PriorConfig("autoregressive"))
    assert make_prior(PriorConfig("none"), SIZE) is None


def test_variances_are_bounded():
    wild = bounded_normal(jnp.array([[0.0, 1e6], [0.0, -1e6]]), 1e-3)
    np.testing.assert_allclose(wild.std[:, 0] ** 2, [np.exp(10) + 1e-3, 1e-3 + np.exp(-10)], rtol=1e-4)


def test_counts_are_poisson_and_never_overflow():
    log_counts = jnp.array([-2.0, 0.0, 3.0])
    found = poisson(log_counts, jnp.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(found, [np.exp(-2), 1.0, np.exp(3) - 6], rtol=1e-6)
    np.testing.assert_allclose(expected_counts(log_counts), np.exp(log_counts), rtol=1e-6)
    value, slope = jax.value_and_grad(lambda x: poisson(x, jnp.ones(())))(jnp.asarray(1e4))
    assert np.isfinite(value)
    assert slope > 0
    assert float(poisson(jnp.asarray(LINEAR_ABOVE + 1e-3), 1.0)) == pytest.approx(
        np.exp(7.001) - 7.001, rel=1e-5
    )
