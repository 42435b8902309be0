"""Reference predictions: what they learn, what they may see, what they leave behind."""

import sys

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.decomposition import FactorAnalysis

import ctd_contract as cc
from ctd_analysis.analyse import AnalysisConfig, analyse
from ctd_analysis.baselines import (
    BASELINES,
    ConditionAverageConfig,
    FactorAnalysisConfig,
    LinearDynamicsConfig,
    ReducedRankConfig,
    SmoothingConfig,
    predict,
)
from ctd_analysis.baselines.condition_average import ConditionAverage
from ctd_analysis.baselines.counts import Counts
from ctd_analysis.baselines.factor_analysis import SmoothedFactors
from ctd_analysis.baselines.reduced_rank import ReducedRank
from ctd_analysis.baselines.regression import fit_poisson
from ctd_analysis.baselines.search import by_setting, search, search_by_neuron
from ctd_analysis.cli import main
from ctd_analysis.gaussian_smoothing import smooth
from ctd_contract.testing import make_recording

BIN_S = 0.02
HELD_OUT = np.array([1, 4, 9])
SMALL = {
    "condition_average": ConditionAverageConfig([0.02, 0.06], [0.0, 3.0]),
    "smoothing": SmoothingConfig([0.03, 0.08], [1.0, 5.0], [0.01, 0.1]),
    "factor_analysis": FactorAnalysisConfig([0.03, 0.08], [2, 3], [0.01, 0.1]),
    "reduced_rank": ReducedRankConfig([0.03, 0.08], [1, 2], [0.01, 0.1]),
    "linear_dynamics": LinearDynamicsConfig([2, 3], [0.01, 0.1], [2]),
}


def simulated(n_trials=120, n_time=16, n_neurons=12, seed=0):
    """Two latents that wander over each trial, from a start that the condition sets."""
    random = np.random.default_rng(seed)
    condition = np.arange(n_trials) % 3
    steps = 0.35 * random.standard_normal((n_trials, n_time, 2))
    steps[:, 0] += np.array([[1.5, 0], [-1, 1], [0, -1.5]])[condition]
    latent = np.cumsum(steps, axis=1)
    drive = latent @ random.normal(0, 0.6, (2, n_neurons)) + np.log(1.5)
    rates = np.exp(np.clip(drive, -4, 3))
    return random.poisson(rates).astype(np.uint16), rates / BIN_S, condition


def written(path, spikes, condition, *, rates=None, held_out=HELD_OUT, n_forward=3, lengths=None):
    n_trials, n_time, n_neurons = spikes.shape
    axes = {"neuron": n_neurons, "condition": 3}
    time = np.arange(n_time) * BIN_S
    header = {"name": "toy", "producer": "test", "trial": n_trials, "time": time, "bin_width_s": BIN_S}
    with cc.create(path, "recording", axes=axes, overwrite=True, **header) as file:
        file.signal("spikes", spikes)
        file.column("trials", "split", np.digitize(np.arange(n_trials) % 10, [6, 8]))
        file.column("trials", "condition", condition)
        file.names("condition", ["a", "b", "c"])
        file.column("neurons", "held_out", np.isin(np.arange(n_neurons), held_out))
        file.column("times", "forward", np.arange(n_time) >= n_time - n_forward)
        if lengths is not None:
            file.column("trials", "length", lengths)
        if rates is not None:
            file.truth("rates", rates)
    return path


def counted(spikes, condition):
    """Everything seen, no inputs, one region."""
    inputs, nothing = np.zeros((*spikes.shape[:2], 0)), np.zeros(spikes.shape[2], bool)
    everything, forward = np.ones(spikes.shape, bool), np.zeros(spikes.shape[1], bool)
    return Counts(spikes, everything, nothing, forward, BIN_S, condition, inputs, nothing.astype(int))


def predicted(path, method):
    with cc.open(path) as file:
        return predict(file, SMALL[method])


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    spikes, rates, condition = simulated()
    path = tmp_path_factory.mktemp("toy") / "toy.h5"
    return written(path, spikes, condition, rates=rates), spikes, rates, condition


def test_smoothing_is_a_weighted_mean_of_what_was_recorded():
    random = np.random.default_rng(0)
    counts, bins = random.poisson(2.0, (3, 7, 2)).astype(float), np.array([0, 1, 2, 4, 5, 8, 9])
    recorded = random.random(counts.shape) > 0.3
    for own, prior in ((True, 0.0), (False, 1.5)):
        found = smooth(
            np.where(recorded, counts, np.nan),
            recorded,
            bins,
            1.7,
            otherwise=np.ones(2),
            prior_bins=prior,
            own=own,
        )
        for trial, bin_, neuron in np.ndindex(counts.shape):
            weight = norm.pdf(bins - bins[bin_], scale=1.7) / norm.pdf(0, scale=1.7)
            weight = weight * recorded[trial, :, neuron] * (own | (np.arange(7) != bin_))
            expected = (weight @ counts[trial, :, neuron] + prior) / (weight.sum() + prior)
            assert found[trial, bin_, neuron] == pytest.approx(expected)


def test_constant_counts_stay_constant_and_nothing_recorded_is_the_mean():
    counts, recorded = np.full((2, 9, 1), 3.0), np.ones((2, 9, 1), bool)
    recorded[0, 5:], recorded[1] = False, False
    found = smooth(counts, recorded, np.arange(9), 2.0, otherwise=np.array([0.4]))
    np.testing.assert_allclose(found[0], 3.0)
    np.testing.assert_allclose(found[1], 0.4)


def test_the_condition_average_is_the_mean_over_trials_shrunk():
    spikes, _, condition = simulated(n_trials=30)
    counts = counted(spikes, condition)
    plain = ConditionAverage(counts, 1e-6, prior_trials=0.0)
    floor = 0.01 * counts.mean()
    expected = np.stack([spikes[condition == c].mean(0) for c in range(3)])
    np.testing.assert_allclose(plain(np.arange(3)), 0.99 * expected + floor)
    everything = spikes.mean(0)
    np.testing.assert_allclose(plain(np.array([-1, 7])), 0.99 * np.stack([everything] * 2) + floor)
    shrunk = ConditionAverage(counts, 1e-6, prior_trials=5.0)
    np.testing.assert_allclose(
        shrunk(np.arange(3)), 0.99 * (10 * expected + 5 * everything) / 15 + floor, rtol=1e-6
    )


def test_poisson_regression_finds_the_weights_and_bears_silence():
    random = np.random.default_rng(0)
    features = random.normal(3.0, 2.0, (8000, 2))
    rates = np.exp(features @ [[0.2, 0.0], [-0.1, 0.0]] + [0.3, -100.0])
    counts = random.poisson(rates).astype(float)
    recorded = random.random(counts.shape) > 0.2
    fit = fit_poisson(features, np.where(recorded, counts, 99.0), recorded, ridge=1e-6)
    np.testing.assert_allclose(fit.weight[0] / fit.spread, [0.2, -0.1], atol=0.02)
    assert 0 < fit(features)[:, 1].max() < 1e-4
    # No prediction leaves the range of the fitted ones.
    assert fit(np.array([[500.0, 0.0]]))[0, 0] == pytest.approx(fit(features)[:, 0].max())


def test_factors_are_those_of_all_rows():
    """scikit-learn's analysis of all rows is the slow way to the same factors."""
    spikes, _, condition = simulated(n_trials=60)
    counts = counted(spikes, condition)
    found = SmoothedFactors(counts)({"n_factors": 2, "width_s": 1e-6})(counts.seen())
    rows = np.log(spikes.reshape(-1, 12) + 0.1 * counts.mean())
    slow = FactorAnalysis(2, svd_method="lapack", tol=1e-6 * len(rows), max_iter=5000).fit(rows)
    expected = slow.transform(rows).reshape(found.shape)
    expected = expected * np.sign((expected * found).sum((0, 1)))
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_reduced_rank_features_lose_the_least_of_what_a_regression_predicts():
    spikes, _, condition = simulated(n_trials=60)
    counts = counted(spikes, condition).hiding(np.arange(12) % 2 == 0)
    make = ReducedRank(counts)
    seen, target = counts.seen(), np.sqrt(spikes[..., ::2]).reshape(-1, 6)
    rows = np.log(spikes[..., 1::2].reshape(-1, 6) + 0.1 * counts.mean()[1::2])
    design = np.column_stack([rows, np.ones(len(rows))])
    full = design @ np.linalg.lstsq(design, target, rcond=None)[0]
    lost = np.linalg.svd(full - full.mean(0), compute_uv=False) ** 2
    for rank in (1, 3, 6):
        features = make({"width_s": 1e-6, "rank": rank, "ridge": 1e-12})(seen).reshape(-1, rank)
        few = np.column_stack([features, np.ones(len(rows))])
        found = few @ np.linalg.lstsq(few, target, rcond=None)[0]
        # Eckart and Young: no map of this rank predicts better.
        expected = ((target - full) ** 2).sum() + lost[rank:].sum()
        assert ((target - found) ** 2).sum() == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match="holds none out"):
        ReducedRank(counted(spikes, condition))


def test_the_search_goes_uphill_and_never_takes_what_isnt_a_number():
    def score(setting):
        return (
            np.nan
            if setting["a"] == 4
            else -((setting["a"] - 3) ** 2) - 0.4 * (setting["a"] - setting["b"]) ** 2
        )

    setting, found = search({"a": [0, 1, 2, 3, 4], "b": [0, 1, 2, 3]}, score)
    assert setting == found.setting == {"a": 3, "b": 3}
    assert found.score == 0
    assert found.tried < 20
    with pytest.raises(ValueError, match="no spikes to choose settings by"):
        search({"a": [1.0]}, lambda setting: np.nan)


@pytest.mark.parametrize("method", ["smoothing", "factor_analysis", "reduced_rank", "linear_dynamics"])
def test_what_encoders_may_not_see_changes_nothing(toy, tmp_path, method):
    """Held-out neurons, forward bins and other trials of the test split don't reach a trial's prediction."""
    path, spikes, _, condition = toy
    before = predicted(path, method).rates
    with cc.open(path) as file:
        test = np.flatnonzero(file.split("test"))
    changed = spikes.copy()
    changed[test[:, None], :, HELD_OUT] = 9
    changed[test, -3:] = 7
    changed[test[0], 2] = 5
    after = predicted(written(tmp_path / "changed.h5", changed, condition), method).rates
    others = np.arange(len(spikes)) != test[0]
    np.testing.assert_array_equal(after[others], before[others])
    assert (after[test[0]] != before[test[0]]).any()


def test_the_condition_average_sees_no_test_trial(toy, tmp_path):
    path, spikes, _, condition = toy
    changed = spikes.copy()
    with cc.open(path) as file:
        changed[file.split("test")] = 9
    after = predicted(written(tmp_path / "changed.h5", changed, condition), "condition_average").rates
    np.testing.assert_array_equal(after, predicted(path, "condition_average").rates)


@pytest.mark.parametrize("method", BASELINES)
def test_padding_changes_no_prediction(toy, tmp_path, method):
    _, spikes, _, condition = toy
    plain = written(tmp_path / "plain.h5", spikes, condition, n_forward=0)
    longer = np.concatenate([spikes, np.zeros_like(spikes[:, :4])], axis=1)
    lengths = np.full(len(spikes), 16)
    padded = written(tmp_path / "padded.h5", longer, condition, n_forward=0, lengths=lengths)
    expected = predicted(plain, method).rates
    np.testing.assert_allclose(predicted(padded, method).rates[:, :16], expected, rtol=1e-6)


def test_they_score_and_all_is_predicted(toy, tmp_path, monkeypatch, capsys):
    """By the command; methods that see the trial know more than its condition."""
    path, *_ = toy
    monkeypatch.chdir(tmp_path)
    few = {
        "condition_average": "model.width_s=[0.03,0.08] model.prior_trials=[0,3]",
        "smoothing": "model.width_s=[0.03,0.08] model.ridge=[0.01]",
        "factor_analysis": "model.width_s=[0.03,0.08] model.ridge=[0.01] model.n_factors=[2]",
        "reduced_rank": "model.width_s=[0.03,0.08] model.ridge=[0.01] model.rank=[2]",
        "linear_dynamics": "model.ridge=[0.01] model.n_latents=[2] model.forecasts=[1,4]",
    }
    for method, settings in few.items():
        words = f"ctd-analysis baseline data={path} model={method} name={method}-1 out={method} threads=1"
        monkeypatch.setattr(sys, "argv", [*words.split(), *settings.split()])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 0, capsys.readouterr().err
    files = [f"{method}/inference.h5" for method in BASELINES]
    assert [finding for file in files for finding in cc.validate(file, level="full", parents=[path])] == []
    result = analyse(path, files, AnalysisConfig(n_resamples=50))
    scores = {
        (method, metric): result.row(f"{method}-1", metric).value
        for method in BASELINES
        for metric in ("co_bps", "fp_bps", "bps", "rate_r2")
    }
    assert min(scores.values()) > 0.02, scores
    for method in ("smoothing", "factor_analysis", "reduced_rank", "linear_dynamics"):
        assert scores[method, "co_bps"] > 1.5 * scores["condition_average", "co_bps"]
        assert scores[method, "rate_r2"] > 0.4
    # A wandering state is known the less the longer ago it was seen.
    near, far = (result.row("linear_dynamics-1", f"forecast_r2 {bins}").value for bins in (1, 4))
    assert scores["linear_dynamics", "rate_r2"] > near > far > 0.1
    with cc.open("smoothing/inference.h5") as file:
        config = file.provenance.config
    assert set(config["chosen"]) == {"held_in", "held_out", "forward"}
    assert config["chosen"]["held_out"]["width_s"] in config["model"]["width_s"] == [0.03, 0.08]
    assert config["chosen"]["held_out"]["valid_bits_per_spike"] > 0


def test_settings_are_chosen_without_held_out_neurons(tmp_path):
    spikes, _, condition = simulated()
    path = written(tmp_path / "a.h5", spikes, condition, held_out=[], n_forward=0)
    with cc.open(path) as file:
        one, same, other = (predict(file, SMALL["factor_analysis"], seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.rates, same.rates)
    assert set(one.choices) == {"held_out"}
    assert one.choices["held_out"].score != other.choices["held_out"].score


def test_each_neuron_takes_the_setting_that_suits_it():
    target = np.array([1.0, 4.0, 2.0])
    settings = search_by_neuron(
        {"a": [1, 2], "b": [0, 2]},
        lambda setting: np.full((5, 3), setting["a"] + setting["b"]),
        lambda predicted: -((predicted - target) ** 2).sum(0),
    )
    assert settings == [{"a": 1, "b": 0}, {"a": 2, "b": 2}, {"a": 2, "b": 0}]
    predicted = by_setting(settings, lambda setting: np.full((5, 3), setting["a"] + setting["b"]))
    np.testing.assert_array_equal(predicted, np.tile(target, (5, 1)))


def test_what_is_missing_is_said(toy, tmp_path, monkeypatch):
    path, spikes, _, condition = toy
    make_recording(tmp_path / "continuous.h5", continuous=True)
    with cc.open(tmp_path / "continuous.h5") as file, pytest.raises(ValueError, match="has no spikes"):
        predict(file, SMALL["smoothing"])
    written(tmp_path / "none.h5", spikes, np.full(len(spikes), -1))
    with pytest.raises(ValueError, match=r"no training trial has a condition.*--map condition"):
        predicted(tmp_path / "none.h5", "condition_average")
    written(tmp_path / "few.h5", spikes[:6], condition[:6])
    with pytest.raises(ValueError, match=r"few\.h5 has no valid trials to choose settings by"):
        predicted(tmp_path / "few.h5", "smoothing")
    for module, method in (("linear_model", "smoothing"), ("decomposition", "factor_analysis")):
        monkeypatch.setitem(sys.modules, f"sklearn.{module}", None)
        with pytest.raises(ValueError, match=r"pip install 'ctd-analysis\[baselines\]'"):
            predicted(path, method)


@pytest.mark.parametrize(("settings", "message"), [([], "is empty"), ([-0.1], "has -0.1")])
def test_settings_that_make_no_sense_are_refused(settings, message):
    for name, config in BASELINES.items():
        first = "n_latents" if name == "linear_dynamics" else "width_s"
        with pytest.raises(ValueError, match=f"{first} {message}"):
            config(settings)
