"""Inferred inputs of a flip-flop: perfect inference of the pulses that flip a bit, and its ceilings."""

import dataclasses
import re

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

import ctd_contract as cc
from ctd_analysis.analyse import AnalysisConfig, analyse
from ctd_analysis.changing_inputs import changing_inputs, target_changes
from ctd_analysis.report import write_report
from ctd_analysis.results import CEILINGS
from ctd_analysis.sources import Inference, Recording

CLEAN, CHANGING = CEILINGS
TRIALS, BINS, BITS = 60, 50, 2
SPLIT = np.repeat([0, 2], [40, 20]).astype(np.uint8)
TIME = 0.01 * np.arange(BINS)
FAST = AnalysisConfig(n_resamples=20, n_examples=2)
FORMS = ("clean", "driving", "changing")


class FlipFlop:
    """Pulses, the bits that they set, the pulses that flip one, and what drives a network."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.clean = rng.choice([-1.0, 0.0, 1.0], p=[0.04, 0.92, 0.04], size=(TRIALS, BINS, BITS))
        self.targets, self.changing = np.zeros_like(self.clean), np.zeros_like(self.clean)
        for trial, bit in np.ndindex(TRIALS, BITS):
            memory = 0.0
            for k, pulse in enumerate(self.clean[trial, :, bit]):
                wanted = memory if pulse == 0.0 else float(pulse > 0.0)
                if wanted != memory:
                    self.changing[trial, k, bit] = pulse
                memory = self.targets[trial, k, bit] = wanted
        self.driving = self.clean + 0.3 * rng.normal(size=self.clean.shape)
        self.spikes = rng.poisson(0.5, size=(TRIALS, BINS, 4))


@pytest.fixture(scope="module")
def flip_flop():
    return FlipFlop()


def write_recording(path, flip_flop, *, first=0, own=True, parents=()):
    """The bins from `first` on; with its own truth or with spikes alone."""
    with cc.create(
        path,
        "recording",
        name="flip-flop",
        producer="tests",
        trial=TRIALS,
        time=TIME[first:],
        bin_width_s=0.01,
        axes={"neuron": 4},
        parents=parents,
    ) as writer:
        writer.column("trials", "split", SPLIT)
        writer.column("neurons", "held_out", np.zeros(4))
        writer.signal("spikes", flip_flop.spikes[:, first:])
        if own:
            writer.signal("inputs_clean", flip_flop.clean[:, first:], unit="1")
            writer.truth("inputs", flip_flop.driving[:, first:], unit="1")
            writer.truth("targets", flip_flop.targets[:, first:], unit="1")
    return path


def write_task(path, flip_flop):
    with cc.create(
        path, "task", name="flip-flop", producer="tests", trial=TRIALS, time=TIME, bin_width_s=0.01
    ) as writer:
        writer.column("trials", "split", SPLIT)
        writer.signal("inputs", flip_flop.driving, unit="1")
        writer.signal("inputs_clean", flip_flop.clean, unit="1")
        writer.signal("targets", flip_flop.targets, unit="1")
    return path


def write_model(path, recording, inferred, name="exact"):
    rates = np.full((*inferred.shape[:2], 4), 50.0)
    cc.write_inference(path, recording, rates=rates, inferred_inputs=inferred, model=name, seed=0)
    return path


def scores(result, model):
    """(direction, form) -> value."""
    return {
        (row.metric.removeprefix("input_r2_"), row.definition.removesuffix("-affine-train-1")): row.value
        for row in result.metrics
        if row.model == model and row.metric.startswith("input_r2_")
    }


def regression_r2(source, target):
    """Least squares on the training trials, scored on the test trials."""
    (fit_x, x), (fit_y, y) = (
        [array[part == SPLIT].reshape(-1, BITS) for part in (0, 2)] for array in (source, target)
    )
    predicted = LinearRegression().fit(fit_x, fit_y).predict(x)
    return r2_score(y, predicted, multioutput="variance_weighted")


@pytest.fixture(scope="module")
def result(flip_flop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("flip_flop")
    recording = write_recording(folder / "recording.h5", flip_flop)
    mixed = flip_flop.changing @ np.array([[2.0, 0.3], [-0.5, 1.0]]) + 7.0
    noisy = flip_flop.changing + 0.2 * np.random.default_rng(1).normal(size=mixed.shape)
    models = [
        write_model(folder / "exact.h5", recording, mixed),
        write_model(folder / "noisy.h5", recording, noisy, "noisy"),
    ]
    return analyse(recording, models, dataclasses.replace(FAST, compare_to="exact"))


def test_the_pulses_that_flip_a_bit_are_found_from_the_targets(flip_flop):
    found = changing_inputs(flip_flop.clean, target_changes(flip_flop.targets))
    np.testing.assert_array_equal(found, flip_flop.changing)
    assert 0.3 < np.abs(found).sum() / np.abs(flip_flop.clean).sum() < 0.6


def test_exact_state_changing_inputs_score_one_against_themselves_and_the_ceilings_against_others(
    result, flip_flop
):
    exact, ceiling = scores(result, "exact"), scores(result, CHANGING)
    assert exact["true_to_inferred", "changing"] == pytest.approx(1.0, abs=1e-6)
    assert exact["inferred_to_true", "changing"] == pytest.approx(1.0, abs=1e-6)
    for form in ("clean", "driving"):
        true = getattr(flip_flop, form)
        expected = regression_r2(flip_flop.changing, true)
        assert ceiling["inferred_to_true", form] == pytest.approx(expected, abs=1e-5)
        assert exact["inferred_to_true", form] == pytest.approx(expected, abs=1e-5)
        # The other direction weighs the channels of the model, which mixed and scaled them.
        back = regression_r2(true, flip_flop.changing)
        assert ceiling["true_to_inferred", form] == pytest.approx(back, abs=1e-5)
    assert ceiling["inferred_to_true", "driving"] < ceiling["inferred_to_true", "clean"] < 0.6
    assert ceiling["inferred_to_true", "changing"] == pytest.approx(1.0, abs=1e-6)


def test_clean_inputs_have_their_ceiling_against_the_noisy_ones(result, flip_flop):
    ceiling = scores(result, CLEAN)
    expected = regression_r2(flip_flop.clean, flip_flop.driving)
    assert ceiling["inferred_to_true", "driving"] == pytest.approx(expected, abs=1e-5)
    variance = flip_flop.clean.var()
    assert expected == pytest.approx(variance / (variance + 0.09), abs=0.05)
    assert ceiling["true_to_inferred", "clean"] == pytest.approx(1.0, abs=1e-6)


def test_a_noisy_model_stays_below_the_ceilings(result):
    noisy, ceiling = scores(result, "noisy"), scores(result, CHANGING)
    assert len(noisy) == 6
    assert all(noisy[key] < ceiling[key] for key in ceiling)


def test_ceilings_are_no_models(result):
    assert [model.name for model in result.models] == ["exact", "noisy"]
    assert {row.model for row in result.seeds} == {"exact", "noisy"}
    assert {row.model for row in result.differences} == {"noisy"}
    assert {f"{row.metric}/{row.definition}" for row in result.metrics} == set(result.definitions)


def test_the_report_prints_the_ceilings_beside_the_models(result, tmp_path, monkeypatch):
    monkeypatch.setattr("ctd_analysis.report.write.save", lambda figure, folder, name: b"")
    text = write_report(result, tmp_path).read_text()
    section = text[text.index("<h3>Inferred inputs</h3>") :]
    table = re.search(r"<table.*?</table>", section, re.S).group()
    head, *rows = re.findall(r"<tr>.*?</tr>", table, re.S)
    assert head.count("<th ") == 7
    assert [row.count("<td") for row in rows] == [6] * 4
    assert CLEAN in rows[2]
    assert CHANGING in rows[3]
    assert f"{scores(result, CHANGING)['inferred_to_true', 'driving']:.3f}" in rows[3]
    without = dataclasses.replace(
        result, metrics=tuple(row for row in result.metrics if "input_r2" not in row.metric)
    )
    assert "Inferred inputs</h3>" not in write_report(without, tmp_path).read_text()


def test_a_task_file_gives_inputs_and_targets_also_to_a_trimmed_recording(flip_flop, tmp_path):
    """The target before the first bin that was kept is the task's: a pulse that repeats it flips nothing."""
    task = write_task(tmp_path / "task.h5", flip_flop)
    held = flip_flop.targets[:, 9] == flip_flop.targets[:, 10]
    assert (held & (flip_flop.clean[:, 10] != 0.0) & (flip_flop.targets[:, 10] != 0.0)).any()
    with cc.open(task) as file:
        parents = [file.parent("task")]
    recording = write_recording(tmp_path / "cut.h5", flip_flop, first=10, own=False, parents=parents)
    model = write_model(tmp_path / "model.h5", recording, flip_flop.changing[:, 10:])
    with cc.open(recording) as file, cc.open(task) as source:
        found = Recording(file, source)
        read = found.changing_inputs.read(np.arange(TRIALS))
        np.testing.assert_array_equal(read, flip_flop.changing[:, 10:])
        np.testing.assert_array_equal(
            found.signals["driving_inputs"].read(np.arange(3)), flip_flop.driving[:3, 10:].astype(np.float32)
        )
    exact = scores(analyse(recording, [model], FAST, task=task), "exact")
    assert exact["inferred_to_true", "changing"] == pytest.approx(1.0, abs=1e-6)
    alone = analyse(recording, [model], FAST)
    assert scores(alone, "exact") == scores(alone, CHANGING) == {}
    reasons = {item.reason for item in alone.left_out if item.metric == "input_r2_inferred_to_true"}
    assert reasons == {
        "the recording has no inputs before noise",
        "the recording has no true inputs",
        "the recording has no inputs before noise with a target for each channel",
    }


def test_other_bins_than_the_tasks_are_refused(flip_flop, tmp_path):
    task = write_task(tmp_path / "task.h5", flip_flop)
    longer = FlipFlop()
    longer.spikes = np.concatenate([longer.spikes, longer.spikes], axis=1)
    with cc.create(
        tmp_path / "long.h5",
        "recording",
        name="long",
        producer="tests",
        trial=TRIALS,
        time=2 * BINS,
        bin_width_s=0.01,
        axes={"neuron": 4},
    ) as writer:
        writer.column("trials", "split", SPLIT)
        writer.column("neurons", "held_out", np.zeros(4))
        writer.signal("spikes", longer.spikes)
    with (
        cc.open(tmp_path / "long.h5") as file,
        cc.open(task) as source,
        pytest.raises(ValueError, match=r"task\.h5 has other time bins than long\.h5"),
    ):
        Recording(file, source)


def test_inputs_without_a_target_for_each_have_no_state_changing_ones(flip_flop, tmp_path):
    with cc.create(
        tmp_path / "recording.h5",
        "recording",
        name="few targets",
        producer="tests",
        trial=TRIALS,
        time=BINS,
        bin_width_s=0.01,
        axes={"neuron": 4},
    ) as writer:
        writer.column("trials", "split", SPLIT)
        writer.column("neurons", "held_out", np.zeros(4))
        writer.signal("spikes", flip_flop.spikes)
        writer.signal("inputs_clean", flip_flop.clean, unit="1")
        writer.truth("targets", flip_flop.targets[..., :1], unit="1")
    model = write_model(tmp_path / "model.h5", tmp_path / "recording.h5", flip_flop.clean)
    with cc.open(tmp_path / "recording.h5") as file, cc.open(model) as inference:
        recording = Recording(file)
        assert recording.changing_inputs is None
        assert "inferred_inputs" in Inference(inference, recording).signals
    result = analyse(tmp_path / "recording.h5", [model], FAST)
    assert {form for _, form in scores(result, "exact")} == {"clean"}
    assert scores(result, CLEAN)["inferred_to_true", "clean"] == pytest.approx(1.0, abs=1e-6)
