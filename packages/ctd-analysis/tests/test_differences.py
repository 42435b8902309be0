"""Differences between models: against a naive bootstrap, of equal models, and in files and report."""

import csv
import dataclasses
import re
import shlex
import shutil

import numpy as np
import pytest

import ctd_contract as cc
from ctd_analysis.analyse import AnalysisConfig, analyse
from ctd_analysis.bootstrap import Bootstrap
from ctd_analysis.cli import COMMAND, AnalysisCommandConfig, _command
from ctd_analysis.differences import Resampled, paired_differences
from ctd_analysis.fixed_points import FixedPointSearch
from ctd_analysis.metrics import co_bps, condition_accuracy, psth_r2, rate_r2
from ctd_analysis.report import write_report
from ctd_analysis.results import MetricRow
from ctd_contract.testing import make_inference, make_recording

BOOTSTRAP = Bootstrap(n_resamples=60, seed=4)
NOISY = 'noisy (2x, "wide")'
POINT = Bootstrap(n_resamples=0)
FAST = AnalysisConfig(n_resamples=40, n_examples=2, search=FixedPointSearch(n_starts=10))


def resampled(estimates, model, seed=0):
    return [
        Resampled(
            MetricRow("data", model, seed, "test", form.metric, form.name, found.value),
            found.resamples,
        )
        for form, found in estimates
    ]


def naive_interval(value_of, n_trials):
    """Percentiles of a function of the drawn trials' positions, called once per resample."""
    values = [
        value_of(np.repeat(np.arange(n_trials), counts.astype(int))) for counts in BOOTSTRAP.weights(n_trials)
    ]
    return np.percentile(values, [2.5, 97.5])


@pytest.fixture(scope="module")
def trials():
    """Rates whose gain differs by trial, counts of them, and two models that miss the same trials."""
    rng = np.random.default_rng(2)
    true = rng.gamma(2.0, 8.0, (25, 12, 5)) * rng.lognormal(0.0, 0.8, (25, 1, 1))
    shared = true * rng.lognormal(0.0, 0.4, (25, 1, 5))
    models = {name: shared * rng.lognormal(0.0, sd, true.shape) for name, sd in (("a", 0.05), ("b", 0.15))}
    return true, rng.poisson(true * 0.02).astype(float), models


@pytest.mark.parametrize("metric", ["rate_r2", "co_bps"])
def test_the_interval_is_a_naive_bootstraps_with_the_same_trials(trials, metric):
    true, spikes, models = trials
    held_out = np.arange(5) >= 2

    def score(name, rows, bootstrap):
        if metric == "rate_r2":
            return rate_r2(true[rows], models[name][rows], bootstrap=bootstrap)
        options = {"bin_width_s": 0.02, "held_out": held_out, "bootstrap": bootstrap}
        return co_bps(spikes[rows], models[name][rows], **options)

    everything = np.arange(25)
    found = [item for name in models for item in resampled(score(name, everything, BOOTSTRAP), name)]
    row = paired_differences(found, "b", BOOTSTRAP)[0]

    def difference(rows):
        return score("a", rows, POINT)[0][1].value - score("b", rows, POINT)[0][1].value

    assert (row.model, row.reference, row.metric) == ("a", "b", metric)
    assert row.difference == pytest.approx(difference(everything), abs=1e-12)
    assert (row.low, row.high) == pytest.approx(naive_interval(difference, 25), abs=1e-10)


def test_the_interval_is_narrower_than_that_of_models_taken_alone(trials):
    true, _, models = trials
    one, two = (rate_r2(true, models[name], bootstrap=BOOTSTRAP)[0] for name in ("a", "b"))
    row = paired_differences([*resampled([one], "a"), *resampled([two], "b")], "b", BOOTSTRAP)[0]
    widths = [found.high - found.low for _, found in (one, two)]
    assert row.low <= row.difference <= row.high
    # Of independent numbers the variances, about the squared widths, would add up.
    assert row.high - row.low < 0.5 * np.hypot(*widths)


def test_means_over_seeds_are_subtracted(trials):
    true, _, models = trials
    noise = np.random.default_rng(0).lognormal(0.0, 0.1, (2, *true.shape))
    fits = [("a", 0, models["a"]), ("a", 1, models["a"] * noise[0])]
    fits += [("b", 0, models["b"]), ("b", 1, models["b"] * noise[1])]
    found = [
        item
        for model, seed, rates in fits
        for item in resampled(rate_r2(true, rates, bootstrap=BOOTSTRAP)[:1], model, seed)
    ]
    values = np.array([item.values for item in found])
    rows = paired_differences(found, "b", BOOTSTRAP)
    assert [(row.seed, row.n_seeds) for row in rows] == [(0, 1), (1, 1), (-1, 2)]
    assert rows[-1].difference == pytest.approx(np.mean([row.difference for row in rows[:2]]), abs=1e-12)
    expected = np.percentile((values[0] + values[1] - values[2] - values[3]) / 2, [2.5, 97.5])
    assert (rows[-1].low, rows[-1].high) == pytest.approx(expected, abs=1e-12)


def test_all_metrics_of_a_recording_have_their_resamples(trials):
    """Equal inputs give equal resamples, whatever is fitted before."""
    true, spikes, models = trials
    conditions = np.arange(25) % 2
    for call in (
        lambda: psth_r2(spikes, models["a"], conditions, bin_width_s=0.02, bootstrap=BOOTSTRAP),
        lambda: condition_accuracy(true, conditions, true, conditions, bins=(2, 3), bootstrap=BOOTSTRAP),
    ):
        first, second = resampled(call(), "a"), resampled(call(), "b")
        row = paired_differences([*first, *second], "b", BOOTSTRAP)[0]
        assert (row.difference, row.low, row.high) == (0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    recording = make_recording(folder / "recording.h5", n_trials=40, n_states=3)
    for name, seed in (("one", 0), ("two", 0), ("noisy", 1), ("noisy", 2)):
        make_inference(
            folder / f"{name}{seed}.h5",
            recording,
            name=NOISY if name == "noisy" else name,
            seed=seed,
            noise=0.4 if name == "noisy" else 0.1,
        )
    return folder


@pytest.fixture(scope="module")
def result(files):
    paths = [files / f"{name}.h5" for name in ("one0", "two0", "noisy1", "noisy2")]
    return analyse(files / "recording.h5", paths, dataclasses.replace(FAST, compare_to="one"))


def test_identical_models_differ_by_exactly_nothing(result):
    rows = [row for row in result.differences if row.model == "two"]
    assert {"rate_r2", "co_bps", "bps", "psth_r2", "state_r2_inferred_to_true"} <= {
        row.metric for row in rows
    }
    with_interval = [row for row in rows if row.low is not None]
    assert len(with_interval) >= 6
    assert all((row.difference, row.low, row.high) == (0.0, 0.0, 0.0) for row in with_interval)


def test_of_several_seeds_each_and_the_mean_is_told(result):
    rows = [row for row in result.differences if (row.model, row.metric) == (NOISY, "rate_r2")]
    rows = [row for row in rows if row.definition == "variance-weighted-1"]
    scores = {
        label: result.row(label, "rate_r2").value for label in ("one", f"{NOISY} seed 1", f"{NOISY} seed 2")
    }
    assert [row.seed for row in rows] == [1, 2, -1]
    expected = [scores[f"{NOISY} seed {seed}"] - scores["one"] for seed in (1, 2)]
    assert [row.difference for row in rows] == pytest.approx([*expected, np.mean(expected)], abs=1e-12)
    assert rows[-1].high < 0.0


def test_the_report_shows_them(result, tmp_path, monkeypatch):
    monkeypatch.setattr("ctd_analysis.report.write.save", lambda figure, folder, name: b"")
    text = write_report(result, tmp_path).read_text()
    section = text[text.index("<h3>Differences to one</h3>") :]
    table = re.search(r"<table.*?</table>", section, re.S).group()
    rows = re.findall(r"<tr>.*?</tr>", table, re.S)[1:]
    assert len(rows) == 2
    assert "two" in rows[0]
    assert "<strong>" not in rows[0]
    assert "<strong>−0." in rows[1]
    without = dataclasses.replace(result, differences=())
    assert "Differences to" not in write_report(without, tmp_path).read_text()


def test_the_command_writes_them_into_file_and_table(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ctd_analysis.report.write_report", lambda result, folder: None)
    for name in ("recording", "one0", "noisy1"):
        shutil.copy(files / f"{name}.h5", ".")
    files = {"truth": "recording.h5", "inference": ["one0.h5", "noisy1.h5"]}
    settings = {"n_resamples": 20, "search": FixedPointSearch(n_starts=10)}
    alone, compared = (
        shlex.split(_command(AnalysisCommandConfig(**files, **settings, compare_to=name)))[1:]
        for name in (None, NOISY)
    )
    assert COMMAND.invoke([*compared, "out=run"]) == 0
    assert cc.validate("run/analysis.h5", level="full") == []
    with cc.open("run/analysis.h5") as file:
        written = {name: values.tolist() for name, values in file.tables["differences"].items()}
    assert set(written["reference"]) == {NOISY}
    with open("run/differences.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["difference"]) for row in rows] == written["difference"]
    assert [row["metric"] for row in rows] == written["metric"]
    assert "rate_r2" in written["metric"]
    assert COMMAND.invoke([*alone, "out=alone"]) == 0
    with cc.open("alone/analysis.h5") as file:
        assert "differences" not in file.tables
    assert COMMAND.invoke([*alone, "compare_to=nobody", "out=wrong"]) == 2
    said = capsys.readouterr().err
    assert f"compare_to is 'nobody', expected a model of this analysis: one, {NOISY}" in said
