"""Counts have the mean and the variance that are asked for, exactly."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ctd_sim.counts import Generators, count_model
from ctd_sim.counts.underdispersed import coin_flips, smallest_variance

MEANS = np.concatenate([[0, 1e-9, 1e-3], np.linspace(0.01, 12, 601), [1, 2, 37.5, 500.25, 1e4]])


def flips_moments(mean, fano):
    """Mean and variance of Binomial(n, p) + Bernoulli(q), from the parameters that are drawn with."""
    flips = coin_flips(mean, fano)
    assert ((flips.n >= 0) & (flips.p >= 0) & (flips.p <= 1) & (flips.q >= 0) & (flips.q <= 1)).all()
    moment = flips.n * flips.p + flips.q
    return moment, flips.n * flips.p * (1 - flips.p) + flips.q * (1 - flips.q)


@pytest.mark.parametrize("fano", [0.0, 0.1, 0.3, 0.5, 0.75, 0.9, 0.999])
def test_coin_flips_have_exactly_the_mean_and_the_variance(fano):
    mean, variance = flips_moments(MEANS, fano)
    fraction = MEANS - np.floor(MEANS)
    expected = np.maximum(fano * MEANS, fraction * (1 - fraction))
    np.testing.assert_allclose(mean, MEANS, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(variance, expected, rtol=1e-9, atol=1e-10)


@given(st.floats(0, 300), st.floats(0, 1, exclude_max=True))
@example(1.0, 0.0)
@example(2.0, 0.5)
@example(0.25, 0.75)
@example(1e-300, 0.5)
def test_coin_flips_for_any_mean_and_fano(mean, fano):
    mean = np.array([mean])
    got, variance = flips_moments(mean, fano)
    assert got == pytest.approx(mean, rel=1e-10)
    assert variance == pytest.approx(count_model(fano).variance(mean), rel=1e-6, abs=1e-9)


def test_no_count_varies_less_than_the_smallest_variance():
    """The counts on the two integers around the mean are a feasible point of least variance (brute force)."""
    rng = np.random.default_rng(0)
    support = np.arange(6)
    for _ in range(2000):
        p = rng.dirichlet(np.full(6, 0.3))
        mean = p @ support
        assert p @ support**2 - mean**2 >= smallest_variance(np.array(mean)) - 1e-12


@pytest.mark.parametrize("fano", [0.2, 0.5, 0.9, 1.0, 1.7, 4.0])
@pytest.mark.parametrize("mean", [0.05, 0.7, 2.3, 11.0])
def test_drawn_counts_have_the_fano_factor(mean, fano):
    n = 200_000
    model = count_model(fano)
    counts = model.draw(np.full(n, mean), Generators(3, 0)).astype(float)
    variance = float(model.variance(np.array(mean)))
    assert abs(counts.mean() - mean) < 5 * np.sqrt(variance / n)
    squared = (counts - mean) ** 2
    assert abs(squared.mean() - variance) < 5 * squared.std() / np.sqrt(n)
    if fano >= 1 or fano * mean >= smallest_variance(np.array(mean)):
        assert variance == pytest.approx(fano * mean)
    else:
        assert variance > fano * mean


@pytest.mark.parametrize("fano", [0.4, 1.0, 2.5])
def test_zero_mean_gives_zero_counts_and_cuts_do_not_matter(fano):
    mean = np.random.default_rng(1).gamma(0.5, 2, (40, 7, 5))
    mean[3:5] = 0
    model = count_model(fano)
    whole = model.draw(mean, Generators(8, 2))
    generators = Generators(8, 2)
    parts = np.concatenate([model.draw(part, generators) for part in np.split(mean, [1, 4, 17])])
    assert np.array_equal(whole, parts)
    assert not whole[3:5].any()
    assert not np.array_equal(whole, model.draw(mean, Generators(8, 3)))
    assert not np.array_equal(whole, model.draw(mean, Generators(9, 2)))


@pytest.mark.parametrize("fano", [-0.1, np.nan, np.inf])
def test_impossible_fano_factors_are_refused(fano):
    with pytest.raises(ValueError, match="fano="):
        count_model(fano)
