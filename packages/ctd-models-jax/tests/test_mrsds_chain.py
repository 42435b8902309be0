"""The Gaussian chain: equal to the dense Gaussian it stands for, and exact where the model is linear."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ctd_models_jax.mrsds import chain
from ctd_models_jax.mrsds.posterior import Code, potentials

TRIALS, TIME, STATES = 2, 4, 3


def pieces(seed=0):
    """A, b, L, J, h of random chains; of the second trial's last bins nothing is known."""
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(TRIALS, TIME, STATES, STATES))
    maps[:, 0] = 0
    shifts = rng.normal(size=(TRIALS, TIME, STATES))
    noise = 0.3 * np.tril(rng.normal(size=(TIME, STATES, STATES)), -1) + 0.7 * np.eye(STATES)
    root = rng.normal(size=(TRIALS, TIME, STATES, STATES))
    precision, linear = root @ np.swapaxes(root, -1, -2), rng.normal(size=shifts.shape)
    precision[1, 2:], linear[1, 2:] = 0, 0
    return tuple(np.asarray(a, np.float32) for a in (maps, shifts, noise, precision, linear))


def dense(maps, shifts, noise, precision, linear):
    """Mean and covariance of all bins of one trial, from the product of its factors."""
    size = TIME * STATES
    total, towards = np.zeros((size, size)), np.zeros(size)
    for k in range(TIME):
        here, before = slice(k * STATES, (k + 1) * STATES), slice((k - 1) * STATES, k * STATES)
        inverse = np.linalg.inv(noise[k].astype(float) @ noise[k].T)
        total[here, here] += inverse + precision[k]
        towards[here] += inverse @ shifts[k] + linear[k]
        if k:
            total[before, before] += maps[k].T @ inverse @ maps[k]
            total[here, before] -= inverse @ maps[k]
            total[before, here] -= maps[k].T @ inverse
            towards[before] -= maps[k].T @ inverse @ shifts[k]
    covariance = np.linalg.inv(total)
    return covariance @ towards, covariance


@pytest.mark.parametrize("diagonal", [False, True])
def test_the_chain_is_the_product_of_its_factors(diagonal):
    given = pieces()
    if diagonal:
        given = (*given[:2], np.diagonal(given[2], axis1=-2, axis2=-1), *given[3:])

    @jax.jit
    def moments(given):
        steps = chain.onwards(*given)
        of_noise = jax.jacobian(lambda normal: steps.draw(normal)[0])(jnp.zeros((TRIALS, TIME, STATES)))
        return steps.draw(jnp.zeros((TRIALS, TIME, STATES))), of_noise, steps.factors

    (path, centre), of_noise, factors = moments(given)
    np.testing.assert_array_equal(path, centre)
    for row in range(TRIALS):
        one = [part if part.shape[0] == TIME else part[row] for part in given]
        one[2] = np.apply_along_axis(np.diag, -1, one[2]) if diagonal else one[2]
        mean, covariance = dense(*one)
        np.testing.assert_allclose(path[row].ravel(), mean, rtol=1e-3, atol=1e-4)
        slope = np.asarray(of_noise[row, :, :, row], np.float64).reshape(TIME * STATES, -1)
        np.testing.assert_allclose(slope @ slope.T, covariance, rtol=1e-3, atol=1e-4)
        # Entropies of the steps add up to the chain's, since their factors are triangular.
        logs = np.log(np.diagonal(factors[row], axis1=-2, axis2=-1)).sum()
        np.testing.assert_allclose(logs, 0.5 * np.linalg.slogdet(covariance)[1], rtol=1e-4)
        assert not np.triu(factors[row], 1).any()


def test_bins_of_which_nothing_is_known_change_nothing_before_them():
    whole = pieces()
    short = [part[:2] if part.shape[0] == TIME else part[:, :2] for part in whole]
    onwards = jax.jit(chain.onwards)
    for long, cut in zip(onwards(*whole), onwards(*short), strict=True):
        np.testing.assert_allclose(long[1, :2], cut[1], rtol=1e-5, atol=1e-6)


def test_precise_knowledge_keeps_its_digits():
    """Of states known to a thousandth of their noise: the path is what is known, and finite backwards."""
    maps, shifts, noise, precision, linear = pieces(1)
    known = 1e6 * np.broadcast_to(np.eye(STATES, dtype=np.float32), precision.shape)
    centre = linear

    @jax.jit
    @jax.value_and_grad
    def drawn(noise):
        steps = chain.onwards(maps, shifts, noise, known, 1e6 * centre)
        return jnp.abs(steps.draw(jnp.zeros(linear.shape))[0] - centre).max() + 0 * steps.factors.sum()

    worst, slope = drawn(jnp.asarray(noise))
    assert worst < 1e-4
    assert np.isfinite(np.asarray(slope)).all()


def test_what_the_encoder_says_counts_in_valid_bins_alone():
    rng = np.random.default_rng(2)
    offset = rng.normal(size=(TRIALS, TIME, STATES)).astype(np.float32)
    lower = np.tril(rng.normal(size=(TRIALS, TIME, STATES, STATES)), -1) + 2 * np.eye(STATES)
    valid = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], np.float32)
    for factor, diagonal in ((np.exp(offset), True), (lower.astype(np.float32), False)):
        found = potentials(
            Code(offset, jnp.asarray(factor), jnp.zeros((TRIALS, TIME, 1)), diagonal, valid), valid
        )
        square = np.apply_along_axis(np.diag, -1, factor) if diagonal else factor
        expected = np.linalg.inv(square @ np.swapaxes(square, -1, -2)) * valid[..., None, None]
        np.testing.assert_allclose(found[0], expected, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(
            found[1], np.einsum("btij,btj->bti", expected, offset), rtol=1e-3, atol=1e-4
        )
