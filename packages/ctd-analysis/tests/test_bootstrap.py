"""The interval over trials: coverage, and sums against resampled arrays."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from ctd_analysis.bootstrap import Bootstrap, Undefined
from ctd_analysis.r2 import TrialR2


def test_weights_are_resamples_and_seeded():
    weights = Bootstrap(n_resamples=50, seed=3).weights(20)
    assert weights.shape == (50, 20)
    assert (weights.sum(axis=1) == 20).all()
    np.testing.assert_array_equal(weights, Bootstrap(n_resamples=50, seed=3).weights(20))
    assert not np.array_equal(weights, Bootstrap(n_resamples=50, seed=4).weights(20))


def test_sums_give_what_resampled_arrays_give():
    rng = np.random.default_rng(0)
    target, noise = rng.normal(size=(2, 12, 8, 3))
    target += rng.normal(size=(12, 1, 3))
    sums = TrialR2.of(target, target + noise, np.ones((12, 8), dtype=bool))
    weights = Bootstrap(n_resamples=5).weights(12)
    got = sums.variance_weighted(weights)
    for counts, value in zip(weights, got, strict=True):
        rows = np.repeat(np.arange(12), counts.astype(int))
        drawn, predicted = (array[rows].reshape(-1, 3) for array in (target, target + noise))
        assert value == pytest.approx(r2_score(drawn, predicted, multioutput="variance_weighted"), abs=1e-12)


def test_coverage():
    """Trials of unequal noise: the interval of 80 % holds the true R² in about 80 % of data sets."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        target = rng.normal(size=(60, 5, 1))
        noise = rng.normal(size=target.shape) * rng.choice([0.2, 1.0], size=(60, 1, 1))
        sums = TrialR2.of(target, target + noise, np.ones((60, 5), dtype=bool))
        estimate = Bootstrap(n_resamples=200, coverage=0.8).estimate(sums.variance_weighted, 60)
        hits += estimate.low <= 1.0 - (0.04 + 1.0) / 2.0 <= estimate.high
    assert 0.73 <= hits / 300 <= 0.87


def test_a_single_trial_has_no_interval_and_none_no_value():
    bootstrap = Bootstrap()
    estimate = bootstrap.estimate(lambda weights: weights[:, 0], 1)
    assert (estimate.value, estimate.low, estimate.high) == (1.0, None, None)
    assert isinstance(bootstrap.estimate(lambda weights: weights[:, 0], 0), Undefined)
    assert isinstance(bootstrap.estimate(lambda weights: weights[:, 0] * np.nan, 3), Undefined)


@pytest.mark.parametrize("settings", [{"n_resamples": -1}, {"coverage": 1.0}])
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        Bootstrap(**settings)
