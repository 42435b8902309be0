"""PSTH, behaviour and conditions read from rates, against slow twins and closed forms."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV

import ctd_contract as cc
from ctd_analysis.analyse import AnalysisConfig, analyse
from ctd_analysis.bootstrap import Bootstrap
from ctd_analysis.discriminant import fit_discriminant
from ctd_analysis.metrics import behavior_r2, condition_accuracy, psth_r2
from ctd_analysis.metrics.base import block_of
from ctd_analysis.metrics.behavior_r2 import PENALTIES
from ctd_analysis.metrics.psth_r2 import PsthR2
from ctd_analysis.ridge import fit_ridge
from ctd_contract.testing import make_inference, make_recording

BOOTSTRAP = Bootstrap(200)


def only(estimates):
    ((_, estimate),) = estimates
    return estimate


def behaving(n_trials, seed, weight):
    random = np.random.default_rng(seed)
    rates = random.gamma(2.0, 10.0, (n_trials, 11, weight.shape[0]))
    behavior = rates @ weight + 12 * random.standard_normal((n_trials, 11, weight.shape[1]))
    behavior[0, 3:6] = np.nan
    return rates, behavior


def test_ridge_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    source = random.normal(size=(83, 20)) @ random.normal(size=(20, 20))
    target = source[:, :3] + 30 * random.standard_normal((83, 3)) + 5
    penalties = [1e-2, 1.0, 1e2, 1e4, 1e6]
    fitted, penalty = fit_ridge(source, target, penalties)
    slow = GridSearchCV(Ridge(), {"alpha": penalties}).fit(source, target)
    assert penalty == slow.best_params_["alpha"] not in (1e-2, 1e6)
    np.testing.assert_allclose(fitted(source), slow.predict(source), rtol=1e-6)


def test_behaviour_is_scored_as_the_benchmark_does():
    weight = np.random.default_rng(9).normal(size=(6, 2))
    (train, train_behavior), (rates, behavior) = behaving(40, 0, weight), behaving(25, 1, weight)
    estimate = only(
        behavior_r2(rates, behavior, train, train_behavior, bin_width_s=0.02, bootstrap=BOOTSTRAP)
    )
    there, known = np.isfinite(train_behavior[..., 0]), np.isfinite(behavior[..., 0])
    slow = GridSearchCV(Ridge(), {"alpha": PENALTIES}).fit(0.02 * train[there], train_behavior[there])
    expected = r2_score(behavior[known], slow.predict(0.02 * rates[known]))
    assert estimate.value == pytest.approx(expected, abs=1e-9)
    assert estimate.low < estimate.value < estimate.high


def classes(n_trials, seed, spread=1.0):
    random = np.random.default_rng(seed)
    labels = np.arange(n_trials) % 4
    centres = np.array([[3, 0, 0], [0, 3, 0], [-3, 0, 0], [0, -3, 0]])[labels] + 10.0
    return centres[:, None] + spread * random.standard_normal((n_trials, 6, 3)), labels


def test_the_discriminant_is_that_of_scikit_learn():
    features, labels = classes(61, 0, spread=2.5)
    found = fit_discriminant(features, labels, [0.3])
    slow = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3)
    slow.fit(features.reshape(-1, 3), np.repeat(labels, 6))
    test, _ = classes(200, 1, spread=2.5)
    agreement = (found(test).ravel() == slow.predict(test.reshape(-1, 3))).mean()
    assert agreement > 0.995  # scikit-learn shrinks each class's covariance in units of its own features


def test_shrinkage_is_chosen_where_features_are_redundant():
    """Features that copy one another with rounding errors make the plain covariance singular."""
    features, labels = classes(60, 0)
    copied = np.concatenate([features, features + 1e-9], axis=2)
    test, truth = classes(60, 1)
    estimate = only(
        condition_accuracy(np.concatenate([test, test], axis=2), truth, copied, labels, bins=(2, 3))
    )
    assert estimate.value > 0.9


def test_accuracy_counts_single_bins_of_whole_trials():
    train, labels = classes(40, 0, spread=0.1)
    test, truth = classes(16, 1, spread=0.1)
    valid = np.ones((16, 6), bool)
    test[0, 3], test[1, 0] = train[1, 0], np.nan
    valid[2, 4:] = False  # lacks the last chosen bin
    truth[3] = -1
    test[1, :3] = train[1, 0]
    estimate = only(
        condition_accuracy(test, truth, train, labels, bins=(4, 5), valid=valid, bootstrap=BOOTSTRAP)
    )
    assert estimate.value == pytest.approx(1 - 1 / 28)
    assert estimate.low < estimate.value <= estimate.high


def test_chance_is_chance():
    (train, labels), (test, _) = classes(80, 0), classes(80, 1)
    shuffled = np.random.default_rng(0).permutation(labels)
    estimate = only(condition_accuracy(test, shuffled, train, labels, bins=(1, 2, 3)))
    assert estimate.value < 0.4


def psth_data(seed=0, n_trials=30):
    random = np.random.default_rng(seed)
    conditions = np.arange(n_trials) % 3
    time = np.linspace(0, 2 * np.pi, 40)
    rates = 30 + 20 * np.sin(time[None, :, None] + conditions[:, None, None] + np.arange(4))
    return random.poisson(rates * 0.02), rates, conditions


def test_the_psth_is_that_of_smoothed_counts():
    """Away from the ends, a Gaussian filter and means over trials by hand."""
    spikes, rates, conditions = psth_data()
    more, _, others = psth_data(1, 21)
    estimate = only(
        psth_r2(
            spikes, rates, conditions, bin_width_s=0.02, train_spikes=more, train_conditions=others,
            bootstrap=BOOTSTRAP,
        )
    )  # fmt: skip
    ones = gaussian_filter1d(np.ones(40), 3.5, mode="constant", truncate=12)
    counts, labels = np.concatenate([more, spikes]).astype(float), np.concatenate([others, conditions])
    smoothed = gaussian_filter1d(counts, 3.5, axis=1, mode="constant", truncate=12) / ones[:, None] / 0.02
    true = np.concatenate([smoothed[labels == c].mean(0) for c in range(3)])
    mean = np.concatenate([rates[conditions == c].mean(0) for c in range(3)])
    assert estimate.value == pytest.approx(r2_score(true, mean), abs=1e-6)
    # Rates that are the same in all trials of a condition leave nothing to resample.
    assert estimate.low == pytest.approx(estimate.value) == estimate.high


def test_resampled_psths_are_those_of_the_resampled_trials():
    spikes, rates, conditions = psth_data()
    noisy = rates * np.random.default_rng(3).gamma(10, 0.1, rates.shape)
    noisy_conditions = conditions.copy()
    noisy_conditions[4] = -1
    estimate = only(psth_r2(spikes, noisy, noisy_conditions, bin_width_s=0.02, bootstrap=BOOTSTRAP))
    metric = PsthR2()
    metric.score(block_of(conditions=noisy_conditions, bin_width_s=0.02, spikes=spikes, rates=noisy))
    weights = BOOTSTRAP.weights(30)
    drawn = np.repeat(np.arange(30), weights[3].astype(int))
    psth = {c: metric._sums[c] / metric._trials[c] for c in range(3)}
    used = [c for c in range(3) if (noisy_conditions[drawn] == c).any()]
    true = np.concatenate([psth[c] for c in used])
    mean = np.concatenate([noisy[drawn[noisy_conditions[drawn] == c]].mean(0) for c in used])
    found = metric._r2(weights[3:4], noisy.astype(np.float32), np.ones((30, 40)), noisy_conditions)
    assert found[0] == pytest.approx(r2_score(true, mean), abs=1e-5)
    assert estimate.low < estimate.value < estimate.high


def test_an_analysis_has_them_or_says_why_not(tmp_path):
    make_recording(tmp_path / "r.h5", n_trials=60, n_time=12)
    make_inference(tmp_path / "m.h5", tmp_path / "r.h5")
    files = tmp_path / "r.h5", [tmp_path / "m.h5"]
    result = analyse(*files, AnalysisConfig(n_resamples=20, condition_bins=[7, 9]))
    rows = {row.metric: row for row in result.metrics}
    assert {"psth_r2", "behavior_r2", "condition_accuracy"} <= set(rows)
    assert rows["behavior_r2"].low < rows["behavior_r2"].value
    for config, reason in (([], "no bins to decode"), ([13], "beyond the 12 bins")):
        left = analyse(*files, AnalysisConfig(n_resamples=0, condition_bins=config)).left_out
        assert reason in next(one.reason for one in left if one.metric == "condition_accuracy")
    with pytest.raises(ValueError, match="counted from 1"):
        AnalysisConfig(condition_bins=[0])
    with cc.open(tmp_path / "r.h5") as file:
        spikes = file.signals["spikes"][:]
    with cc.create(
        tmp_path / "bare.h5", "recording", name="bare", producer="test", trial=60, time=12,
        bin_width_s=0.01, axes={"neuron": 8},
    ) as writer:  # fmt: skip
        writer.signal("spikes", spikes)
        writer.column("trials", "split", np.arange(60) % 3)
        writer.column("neurons", "held_out", np.zeros(8))
    cc.write_inference(tmp_path / "bare_m.h5", tmp_path / "bare.h5", model="m", rates=np.ones(spikes.shape))
    left = analyse(tmp_path / "bare.h5", [tmp_path / "bare_m.h5"], AnalysisConfig(n_resamples=0)).left_out
    reasons = {one.metric: one.reason for one in left}
    assert reasons["behavior_r2"] == "the recording has no behaviour"
    assert reasons["psth_r2"] == reasons["condition_accuracy"] == "the recording has no conditions"
