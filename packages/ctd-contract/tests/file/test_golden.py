"""Golden files are read, are valid, and are written again with the same digest."""

from __future__ import annotations

import numpy as np
import pytest

import ctd_contract as cc
from ctd_contract import testing
from ctd_contract.testing.golden import GOLDEN_DIGESTS, golden_path, write_golden

KINDS = ("task", "recording", "inference", "analysis")


@pytest.mark.parametrize("kind", KINDS)
def test_golden_files_are_valid_and_small(kind):
    path = golden_path(kind)
    assert cc.validate(path) == []
    assert path.stat().st_size < 32 * 1024
    with cc.open(path) as file:
        assert file.kind == kind
        assert file.digest == GOLDEN_DIGESTS[f"{kind}-1.0"]


def test_golden_files_are_written_again_with_the_same_digest(tmp_path):
    assert write_golden(tmp_path) == GOLDEN_DIGESTS


def test_the_values_of_the_golden_recording():
    with cc.open(golden_path("recording")) as file:
        assert file.sizes == {
            "trial": 4,
            "time": 6,
            "neuron": 3,
            "state": 2,
            "input": 1,
            "behavior": 2,
            "region": 2,
        }
        np.testing.assert_array_equal(file.axis("trial"), [7, 17, 27, 37])
        np.testing.assert_array_equal(file.signals["spikes"][1, :, 0], [1, 2, 3, 0, 0, 0])
        np.testing.assert_array_equal(file.lengths, [6, 4, 6, 5])
        np.testing.assert_array_equal(file.split("test"), [False, False, False, True])
        np.testing.assert_array_equal(file.split("valid", scheme="fold1"), [True, False, False, False])
        np.testing.assert_array_equal(file.held_out, [False, False, True])
        assert file.names("region") == ["M1", "PMd"]
        assert file.provenance.parents[0].role == "source"
        dynamics, readout = file.truth_dynamics(), file.truth_readout()
        assert dynamics is not None
        assert readout is not None
        states, inputs = file.truth["states"][0], file.truth["inputs"][0]
        np.testing.assert_array_equal(dynamics.step(states[:-1], inputs[1:]), states[1:])
        np.testing.assert_array_equal(readout.evaluate(states), file.truth["rates"][0])


def test_the_golden_task_and_analysis():
    with cc.open(golden_path("task")) as file:
        assert file.names("condition") == ["links", "größer"]
        np.testing.assert_array_equal(file.phases["go"], [[0, 3], [1, 6], [-1, -1], [2, 2]])
        assert file.attributes == {"title": "Golden file of version 1.0"}
    with cc.open(golden_path("analysis")) as file:
        assert file.tables["metrics"]["metric"].tolist() == ["rate_r2", "rate_r2"]
        assert file.fixed_points["truth"]["eigenvalues"].tolist() == [[[0.5, 0.25], [0.5, -0.25]]]


def test_unknown_golden_file():
    with pytest.raises(ValueError, match="version"):
        golden_path("task", "9.0")


@pytest.mark.parametrize("system", ["affine", "gru"])
@pytest.mark.parametrize("lengths", [False, True])
def test_toy_files_are_valid_and_follow_their_dynamics(tmp_path, system, lengths):
    task = testing.make_task(tmp_path / "t.h5", system=system, lengths=lengths)
    recording = testing.make_recording(tmp_path / "r.h5", system=system, lengths=lengths, n_forward=3)
    inference = testing.make_inference(tmp_path / "i.h5", recording)
    for path in (task, recording, inference):
        assert cc.validate(path) == []
    with cc.open(recording) as file:
        assert file.forward.sum() == 3
        assert file.held_out.sum() == 2
    for path in (task, inference):
        with cc.open(path) as file:
            dynamics = file.dynamics()
            assert dynamics is not None
            valid = file.valid_bins()[:, 1:, None]
            states, inputs = file.signals["states"][:], file.signals["inputs"][:]
            error = np.abs(dynamics.step(states[:, :-1], inputs[:, 1:]) - states[:, 1:])[
                np.broadcast_to(valid, states[:, 1:].shape)
            ]
            assert error.max() < 1e-5
            first = dynamics.step(file.signals["initial_state"][:], inputs[:, 0])
            np.testing.assert_allclose(first, states[:, 0], atol=1e-5)


def test_toy_spikes_have_the_rates_that_the_truth_says(tmp_path):
    path = testing.make_recording(tmp_path / "r.h5", n_trials=200, n_time=50, n_neurons=3, mean_rate_hz=30)
    with cc.open(path) as file:
        rates, spikes = file.truth["rates"][:], file.signals["spikes"][:]
        np.testing.assert_allclose(rates.mean(axis=(0, 1)), 30, rtol=1e-5)
        np.testing.assert_allclose(spikes.mean(axis=(0, 1)) / file.bin_width_s, 30, rtol=0.1)
        assert np.corrcoef(rates.ravel(), spikes.ravel())[0, 1] > 0.1


@pytest.mark.parametrize("continuous", [False, True])
def test_toys_without_truth(tmp_path, continuous):
    recording = testing.make_recording(tmp_path / "r.h5", truth=False, continuous=continuous, lengths=True)
    inference = testing.make_inference(tmp_path / "i.h5", recording)
    assert cc.validate(recording) == []
    assert cc.validate(inference) == []
    with cc.open(inference) as file:
        dynamics = file.dynamics()
        assert dynamics is not None
        assert dynamics.kind == "opaque"
        assert ("activity_prediction" in file.signals) == continuous


def test_the_same_seed_gives_the_same_digest(tmp_path):
    digests = []
    for index, seed in enumerate((0, 0, 1)):
        with cc.open(testing.make_recording(tmp_path / f"{index}.h5", seed=seed)) as file:
            digests.append(file.digest)
    assert digests[0] == digests[1] != digests[2]
