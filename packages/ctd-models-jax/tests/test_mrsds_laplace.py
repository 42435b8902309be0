"""The Laplace posterior: Fisher information and slope, and where Newton's steps lead."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_parameters import random_parameters

from ctd_models_jax.mrsds import MRSDS, Trials, mode_posterior
from ctd_models_jax.mrsds.config import DynamicsConfig, EmissionConfig, EncoderConfig, MRSDSConfig
from ctd_models_jax.mrsds.dynamics import Dynamics
from ctd_models_jax.mrsds.laplace import information, laplace
from ctd_models_jax.mrsds.posterior import Path, prior_means

TRIALS, TIME, REGIONS = 2, 5, (0, 0, 0, 1, 1, 1)


def make(family, *, layers=()):
    settings = MRSDSConfig(
        states=[2, 1],
        posterior="laplace",
        dynamics=DynamicsConfig(layers=[3], activation="tanh", noise_std=0.5),
        emissions=EmissionConfig(layers=list(layers), activation="tanh", link="exp"),
        encoder=EncoderConfig(units=2, embedding=[2], layers=[]),
    )
    model = MRSDS(REGIONS, (True,) * 6, 1, family, settings)
    rng = np.random.default_rng(0)
    valid = (np.arange(TIME) < np.array([5, 3])[:, None]).astype(np.float32)
    scored = np.repeat(valid[..., None], len(REGIONS), -1)
    values = rng.poisson(2.0, scored.shape).astype(np.float32) * scored
    inputs = rng.normal(size=(TRIALS, TIME, 1)).astype(np.float32)
    return random_parameters(model, scale=0.3), Trials(values, valid, valid, scored, inputs)


@pytest.mark.parametrize("settings", [{"communication": "conditional"}, {"by_mode": "biases"}])
def test_slopes_of_the_dynamics_are_their_jacobian(settings):
    settings = DynamicsConfig(layers=[3, 2], activation="tanh", **settings)
    dynamics = Dynamics.draw(jax.random.key(0), (3, 1, 2), 1, 2, settings)
    x = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    driven = np.zeros((2, 6), np.float32)
    expected = jax.vmap(jax.jacfwd(lambda x: dynamics.means(x, driven)))(x)
    assert np.abs(expected - np.eye(6)).max() > 0.01
    np.testing.assert_allclose(dynamics.slopes(x), expected, atol=1e-6)


@pytest.mark.parametrize("layers", [[3], []])
@pytest.mark.parametrize("family", ["gaussian", "poisson", "negative_binomial"])
def test_the_information_is_that_of_what_the_model_draws(family, layers):
    """Slope by differentiation; Fisher information as the covariance of slopes over draws."""
    params, trials = make(family, layers=layers)
    x = 0.3 * np.random.default_rng(1).normal(size=(TRIALS, TIME, 3)).astype(np.float32)

    @eqx.filter_jit
    def parts(emissions, values, x, seen):
        def total(x):
            return jnp.sum(emissions.log_likelihood(values, x, seen))

        found = information(emissions, x, values, seen)
        at = jnp.broadcast_to(x[:1, :1], (20000, 1, 3))
        drawn = emissions.sample(at, jax.random.key(0))
        return found, jax.grad(total)(x), information(emissions, at, drawn, jnp.ones_like(drawn))[1]

    seen = trials.scored * (np.arange(6) != 2)
    (_, slope), expected, _ = parts(params.emissions, trials.values, x, seen)
    np.testing.assert_allclose(slope, expected, rtol=2e-3, atol=1e-4)
    (precision, _), _, slopes = parts(params.emissions, trials.values, x, np.ones_like(seen))
    found = np.einsum("bti,btj->ij", slopes, slopes) / 20000
    np.testing.assert_allclose(found, precision[0, 0], atol=0.05 * np.abs(precision[0, 0]).max())


def test_its_mean_is_the_likeliest_path():
    """Of counts, whose linear map to log rates leaves one maximum: no slope is left there."""
    params, trials = make("poisson")

    @eqx.filter_jit
    def slope_after(params, trials, steps):
        still, given = jnp.zeros((TRIALS, TIME, 3)), (params.dynamics, params.mode_prior, params.emissions)
        known = (trials.values, trials.scored, trials.inputs, trials.valid, still)
        found = laplace(*given, still, *known, steps=steps)

        def joint(x):
            path = Path(x, prior_means(params.dynamics, x, trials.inputs), x, jnp.ones_like(x), diagonal=True)
            log_prior = mode_posterior.log_prior(*given[:2], path, trials.inputs, trials.valid)
            return log_prior.sum() + params.emissions.log_likelihood(trials.values, x, trials.scored).sum()

        return jnp.abs(jax.grad(joint)(found.states) * trials.valid[..., None]).max()

    trials = jax.tree.map(jnp.asarray, trials)
    first, last = (float(slope_after(params, trials, steps)) for steps in (1, 6))
    assert last < 0.02 * first
    assert last < 0.1


def test_one_mode_of_two_regions_has_a_gradient():
    """XLA's CPU client ends the process here when directions of the Jacobian are taken all at once."""
    dynamics = DynamicsConfig(layers=[32], activation="tanh")
    settings = MRSDSConfig(posterior="laplace", laplace_steps=1, dynamics=dynamics)
    model = MRSDS(REGIONS, (True,) * 6, 1, "poisson", settings)
    params, trials = model.initialize(jax.random.key(0))[0], make("poisson")[1]

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(params):
        return sum(model.loss(params, trials, key=jax.random.key(1)).values())

    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient(params)))
