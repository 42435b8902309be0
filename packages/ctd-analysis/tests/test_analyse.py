"""Whole analyses of toy files: alignment, reasons, groups of seeds, and the file that is written."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

import ctd_analysis.sources
import ctd_contract as cc
from ctd_analysis.analyse import AnalysisConfig, analyse
from ctd_analysis.analysis_file import COLUMNS, write_analysis, write_table
from ctd_analysis.fixed_points import FixedPointSearch
from ctd_analysis.seeds import summarise_seeds
from ctd_contract.dynamics import Opaque
from ctd_contract.testing import make_inference, make_recording, make_task

FAST = AnalysisConfig(n_resamples=50, n_examples=3, search=FixedPointSearch(n_starts=50))


@pytest.fixture
def recording(tmp_path):
    return make_recording(tmp_path / "recording.h5", n_trials=60, n_states=3, lengths=True, n_forward=10)


@pytest.fixture
def inference(recording):
    return make_inference(recording.with_name("model.h5"), recording, name="turned")


def numbers(result, label):
    model = next(model for model in result.models if model.label == label)
    rows = [row for row in result.metrics if (row.model, row.seed) == (model.name, model.seed)]
    return {f"{row.metric}/{row.definition}": row.value for row in rows}


def signals_of(path):
    with cc.open(path) as file:
        arrays = {name: array[:] for name, array in file.signals.items() if name != "initial_state"}
        return arrays, file.axis("trial"), file.dynamics()


def test_turned_truth_scores_one_and_has_the_true_point(recording, inference):
    result = analyse(recording, [inference], FAST)
    found = numbers(result, "turned")
    assert found["state_r2_true_to_inferred/affine-train-1"] == pytest.approx(1.0, abs=1e-6)
    assert found["state_r2_inferred_to_true/affine-train-1"] == pytest.approx(1.0, abs=1e-6)
    assert found["rate_r2/variance-weighted-1"] > 0.9
    assert found["fixed_points_stable_matched/affine-assignment-1"] == 1.0
    assert found["fixed_points_missed/affine-assignment-1"] == 0.0
    assert found["fixed_points_distance/affine-assignment-1"] < 1e-3
    assert found["fixed_points_rate_error_per_s/affine-assignment-1"] < 1e-6
    truth, model = result.spaces["truth"], result.spaces["turned"]
    valid = np.arange(truth.trajectories.shape[1]) < truth.lengths[:, None]
    np.testing.assert_allclose(model.trajectories_in_truth[valid], truth.trajectories[valid], atol=1e-3)
    np.testing.assert_allclose(model.points_in_truth, truth.points_in_truth, atol=1e-3)
    assert set(result.definitions) == {f"{row.metric}/{row.definition}" for row in result.metrics}


def test_rows_have_intervals_around_their_values(recording, inference):
    rows = [row for row in analyse(recording, [inference], FAST).metrics if row.low is not None]
    assert {"rate_r2", "co_bps", "bps", "fp_bps", "cycle_consistency"} <= {row.metric for row in rows}
    for row in rows:
        assert row.low <= row.value + 1e-9
        assert row.high >= row.value - 1e-9


def test_trials_and_neurons_are_aligned_by_id(recording, inference, tmp_path):
    arrays, trial, dynamics = signals_of(inference)
    order = np.random.default_rng(0).permutation(len(trial))
    state, drive = cc.Probe.points(arrays["states"], arrays["inputs"])
    cc.write_inference(
        tmp_path / "shuffled.h5",
        recording,
        model="turned",
        trial=trial[order],
        dynamics=dynamics,
        probe=cc.Probe(state, drive, dynamics.step(state, drive)),
        **{name: array[order] for name, array in arrays.items()},
    )
    shuffled = numbers(analyse(recording, [tmp_path / "shuffled.h5"], FAST), "turned")
    assert shuffled == pytest.approx(numbers(analyse(recording, [inference], FAST), "turned"), rel=1e-9)


def test_neurons_in_another_order_are_brought_back(recording, inference, tmp_path):
    arrays, trial, _ = signals_of(inference)
    with cc.open(recording) as source:
        neuron = source.axis("neuron")[::-1]
        with cc.create(
            tmp_path / "reversed.h5",
            "inference",
            name="reversed",
            producer="test",
            trial=trial,
            time=source.time,
            axes={"neuron": neuron},
        ) as writer:
            writer.column("trials", "split", source.tables["trials"]["split"])
            writer.column("trials", "length", source.lengths)
            writer.signal("rates", arrays["rates"][..., ::-1])
    got = numbers(analyse(recording, [tmp_path / "reversed.h5"], FAST), "reversed")
    assert got["rate_r2/variance-weighted-1"] == pytest.approx(
        numbers(analyse(recording, [inference], FAST), "turned")["rate_r2/variance-weighted-1"], rel=1e-9
    )


def test_the_size_of_blocks_changes_nothing(recording, inference, monkeypatch):
    whole = numbers(analyse(recording, [inference], FAST), "turned")
    monkeypatch.setattr(ctd_analysis.sources, "_BLOCK_BINS", 70)
    assert numbers(analyse(recording, [inference], FAST), "turned") == pytest.approx(whole, rel=1e-9)


def test_seeds_of_one_model_are_summarised(recording, tmp_path):
    paths = [
        make_inference(tmp_path / f"{seed}.h5", recording, seed=seed, noise=noise, name="toy")
        for seed, noise in ((0, 0.05), (1, 0.3), (2, 0.5))
    ]
    result = analyse(recording, paths, FAST)
    assert [model.label for model in result.models] == ["toy seed 0", "toy seed 1", "toy seed 2"]
    scores = [result.row(model.label, "rate_r2").value for model in result.models]
    summary = next(row for row in result.seeds if row.definition == "variance-weighted-1")
    assert (summary.n_seeds, summary.model) == (3, "toy")
    assert summary.mean == pytest.approx(np.mean(scores))
    assert summary.sd == pytest.approx(np.std(scores, ddof=1))
    assert summarise_seeds(result.metrics[:0]) == ()
    assert all(row.sd is None for row in analyse(recording, paths[:1], FAST).seeds)


def test_what_cannot_be_had_is_left_out_with_a_reason(tmp_path):
    recording = make_recording(tmp_path / "bare.h5", truth=False, n_held_out=0)
    inference = make_inference(tmp_path / "means.h5", recording, name="means")
    result = analyse(recording, [inference], FAST)
    reasons = {(item.model, item.metric): item.reason for item in result.left_out}
    assert reasons["means", "rate_r2"] == "the recording has no true rates"
    assert reasons["means", "state_r2_true_to_inferred"] == "the recording has no true states"
    assert reasons["means", "input_r2_inferred_to_true"] == "the model infers no inputs"
    assert reasons["means", "co_bps"] == "the recording holds no neurons out"
    assert reasons["means", "fp_bps"] == "the recording has no forward bins"
    assert reasons["means", "fixed_points"] == "the model gives no states"
    assert reasons["truth", "fixed_points"] == "the recording has no true states"
    assert all(np.isfinite(row.value) for row in result.metrics)
    assert {row.metric for row in result.metrics} == {"bps", "psth_r2", "behavior_r2"}
    assert result.spaces == {}


def test_opaque_dynamics_keep_their_scores_and_give_a_reason(recording, inference, tmp_path):
    arrays, _, _ = signals_of(inference)
    cc.write_inference(tmp_path / "opaque.h5", recording, model="opaque", dynamics=Opaque(3, 2), **arrays)
    result = analyse(recording, [tmp_path / "opaque.h5"], FAST)
    assert result.row("opaque", "state_r2_inferred_to_true").value == pytest.approx(1.0, abs=1e-6)
    assert result.spaces["opaque"].points is None
    assert "opaque" in next(item.reason for item in result.left_out if item.metric == "fixed_points")


def test_continuous_recordings_have_no_bits_per_spike(tmp_path):
    recording = make_recording(tmp_path / "calcium.h5", continuous=True)
    result = analyse(recording, [make_inference(tmp_path / "model.h5", recording)], FAST)
    reasons = {item.metric: item.reason for item in result.left_out}
    assert reasons["co_bps"] == "the recording has no spikes"
    assert result.row("toy model", "rate_r2") is not None


def test_fixed_points_rest_under_the_input_before_noise(tmp_path):
    """Pulses on a noisy channel: between them the input is zero, not the noisy input's median."""
    rng = np.random.default_rng(0)
    source = make_recording(tmp_path / "source.h5", n_states=3)
    with cc.open(source) as file:
        dynamics, arrays = file.truth_dynamics(), {name: array[:] for name, array in file.truth.items()}
        clean = (rng.random(arrays["inputs"].shape) < 0.1).astype(np.float32)
        noisy = clean + 0.2 + 0.1 * rng.normal(size=clean.shape).astype(np.float32)
        with cc.create(
            tmp_path / "recording.h5",
            "recording",
            name="pulses",
            producer="test",
            trial=file.axis("trial"),
            time=file.time,
            axes={"neuron": file.sizes["neuron"]},
        ) as writer:
            writer.column("trials", "split", file.tables["trials"]["split"])
            writer.column("neurons", "held_out", file.held_out)
            writer.signal("spikes", file.signals["spikes"][:])
            writer.signal("inputs", noisy, unit="1")
            writer.signal("inputs_clean", clean, unit="1")
            writer.truth("states", arrays["states"])
            state, drive = cc.Probe.points(arrays["states"], noisy)
            writer.truth_dynamics(dynamics, cc.Probe(state, drive, dynamics.step(state, drive)))
    arrays, _, _ = signals_of(make_inference(tmp_path / "model.h5", source))
    del arrays["inputs"]
    cc.write_inference(tmp_path / "model2.h5", tmp_path / "recording.h5", model="m", **arrays)
    result = analyse(tmp_path / "recording.h5", [tmp_path / "model2.h5"], FAST)
    np.testing.assert_array_equal(result.spaces["truth"].points.input, np.zeros((1, 2)))


def test_a_task_file_gives_what_the_recording_lacks(tmp_path):
    task = make_task(tmp_path / "task.h5", n_trials=20, n_states=4)
    with cc.open(task) as file:
        states, ids = file.signals["states"][:], file.axis("trial")
        with cc.create(
            tmp_path / "recording.h5",
            "recording",
            name="spikes only",
            producer="test",
            trial=ids[::-1],
            time=file.time,
            axes={"neuron": 4},
        ) as writer:
            writer.column("trials", "split", file.tables["trials"]["split"][::-1])
            writer.column("neurons", "held_out", np.zeros(4))
            writer.signal("spikes", np.ones((20, len(file.time), 4), dtype=np.uint8))
        cc.write_inference(
            tmp_path / "model.h5",
            tmp_path / "recording.h5",
            model="model",
            rates=np.ones((20, len(file.time), 4)),
            states=2.0 * states[::-1] + 1.0,
        )
    alone = analyse(tmp_path / "recording.h5", [tmp_path / "model.h5"], FAST)
    assert alone.row("model", "state_r2_inferred_to_true") is None
    result = analyse(tmp_path / "recording.h5", [tmp_path / "model.h5"], FAST, task=task)
    assert result.row("model", "state_r2_inferred_to_true").value == pytest.approx(1.0, abs=1e-6)
    assert result.spaces["truth"].points is not None
    assert [file.role for file in result.files] == ["truth", "task", "model"]
    with cc.open(make_task(tmp_path / "other.h5", n_trials=20, n_states=4, seed=1)) as other:
        common = {"trial": ids, "time": other.time, "producer": "test", "axes": {"neuron": 0}}
        parents = [other.parent("network")]
    with cc.create(tmp_path / "foreign.h5", "inference", name="foreign", parents=parents, **common) as writer:
        writer.column("trials", "split", np.zeros(20))
        writer.signal("states", states)
    with pytest.raises(ValueError, match=r"foreign\.h5 was made from another task"):
        analyse(tmp_path / "recording.h5", [tmp_path / "foreign.h5"], FAST, task=task)


def test_a_model_of_states_alone_needs_no_neurons(recording, inference, tmp_path):
    """As a task network's JSLDS, which knows nothing of the neurons that were recorded."""
    arrays, trial, _ = signals_of(inference)
    with cc.open(recording) as source:
        common = {"trial": trial, "time": source.time, "producer": "test", "axes": {"neuron": 0}}
        with cc.create(tmp_path / "states.h5", "inference", name="states", **common) as writer:
            writer.column("trials", "split", source.tables["trials"]["split"])
            writer.column("trials", "length", source.lengths)
            writer.signal("states", arrays["states"])
    found = analyse(recording, [inference, tmp_path / "states.h5"], FAST)
    metric = "state_r2_true_to_inferred"
    assert found.row("states", metric).value == pytest.approx(found.row("turned", metric).value)
    assert found.row("states", "bps") is None


@pytest.mark.parametrize("wrong", ["other recording", "changed", "missing trials", "same seed", "kind"])
def test_files_that_do_not_belong_together_are_refused(recording, inference, tmp_path, wrong):
    paths, message = [inference], ""
    if wrong == "other recording":
        recording = make_recording(tmp_path / "other.h5", n_trials=60, n_states=3, seed=1)
        message = "another recording"
    if wrong == "changed":
        arrays, trial, _ = signals_of(inference)
        with cc.open(recording) as source:
            parent = cc.Parent(source.id, "0" * 64, "recording", "recording")
            with cc.create(
                tmp_path / "old.h5",
                "inference",
                name="old",
                producer="test",
                trial=trial,
                time=source.time,
                axes={"neuron": source.axis("neuron")},
                parents=[parent],
            ) as writer:
                writer.column("trials", "split", source.tables["trials"]["split"])
                writer.column("trials", "length", source.lengths)
                writer.signal("rates", arrays["rates"])
        paths, message = [tmp_path / "old.h5"], "has changed"
    if wrong == "missing trials":
        arrays, trial, _ = signals_of(inference)
        cc.write_inference(
            tmp_path / "few.h5", recording, model="few", trial=trial[:30], rates=arrays["rates"][:30]
        )
        paths, message = [tmp_path / "few.h5"], r"lacks \d+ of the \d+ test trials"
    if wrong == "same seed":
        again = make_inference(tmp_path / "again.h5", recording, name="turned")
        paths, message = [inference, again], "couldn't be told apart"
    if wrong == "kind":
        paths, message = [recording], "kind recording, expected inference"
    with pytest.raises(ValueError, match=message):
        analyse(recording, paths, FAST)


def test_the_analysis_file_holds_the_rows_and_the_points(recording, inference, tmp_path):
    result = analyse(recording, [inference], FAST)
    write_analysis(result, tmp_path / "analysis.h5")
    write_table(result.metrics, tmp_path / "metrics.csv")
    assert cc.validate(tmp_path / "analysis.h5", level="full") == []
    with cc.open(tmp_path / "analysis.h5") as file:
        table, points = file.tables["metrics"], file.fixed_points
        np.testing.assert_array_equal(table["value"], [row.value for row in result.metrics])
        np.testing.assert_array_equal(np.isnan(table["low"]), [row.low is None for row in result.metrics])
        assert set(points) == {"truth", "turned"}
        found = result.spaces["turned"].points
        np.testing.assert_array_equal(points["turned"]["state"], found.state)
        eigenvalues = points["turned"]["eigenvalues"]
        np.testing.assert_array_equal(eigenvalues[..., 0] + 1j * eigenvalues[..., 1], found.eigenvalues)
        np.testing.assert_array_equal(points["truth"]["stable"], [1])
        assert points["turned"].attributes["source"] == result.models[0].file_id
    with (tmp_path / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == COLUMNS
    assert [float(row["value"]) for row in rows] == [row.value for row in result.metrics]
    assert {row["low"] for row in rows if row["metric"] == "fixed_points"} == {""}


def test_no_heavy_import():
    """The library brings no torch, no JAX, and the import alone no scientific stack."""
    code = (
        "import sys, json, ctd_analysis, ctd_analysis.cli; light = set(sys.modules); "
        "import ctd_analysis.analyse; "
        "print(json.dumps([sorted(light), sorted(sys.modules)]))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    light, full = map(set, json.loads(out))
    assert not {"torch", "jax", "matplotlib", "plotly", "sklearn", "hydra"} & full
    assert not {"scipy", "hydra", "omegaconf"} & light


@pytest.mark.parametrize("wrong", [{"split": "all"}, {"constant_input": "mean"}, {"n_examples": 0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AnalysisConfig(**wrong)
