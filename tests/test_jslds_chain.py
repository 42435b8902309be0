"""A network and its JSLDS, trained in JAX: what ctd-analysis finds in both files; spikes from the network."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import ctd_contract as cc
from ctd_analysis.analyse import AnalysisConfig, analyse
from ctd_analysis.fixed_points import FixedPointSearch, Region, find_fixed_points
from ctd_analysis.fixed_points.match import assign
from ctd_models_jax.cli import COMMAND
from ctd_sim.cli import COMMAND as SIMULATE

# The command's defaults but for what a test can't wait for.
SHORT = ["training.steps=1000", "n_trials=200"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("jslds")
    assert COMMAND.invoke(["model=jslds", "task=bit_memory", f"out={out}", *SHORT]) == 0
    return out


@pytest.fixture(scope="module")
def memories(folder):
    """Of the network and of its JSLDS: all points of a search, and the region of the states."""
    found = []
    for name in ("task.h5", "inference.h5"):
        with cc.open(folder / name) as file:
            states = file.signals["states"][:]
            visited = states.reshape(-1, states.shape[-1]).astype(float)
            search = FixedPointSearch(n_starts=256)
            points = find_fixed_points(file.dynamics(), visited, bin_width_s=file.bin_width_s, search=search)
            found.append((points, file.readout().evaluate(points.state), Region.of(visited)))
    return found


@pytest.mark.slow
def test_both_remember_at_the_same_eight_stable_fixed_points(memories):
    (network, outputs, region), (jslds, linear_outputs, _) = memories
    corners = sorted(itertools.product((-1.0, 1.0), repeat=3))
    kept = []
    for points, told in ((network, outputs), (jslds, linear_outputs)):
        stable = points.is_fixed & points.stable
        assert sorted(map(tuple, np.sign(told[stable]))) == corners
        np.testing.assert_allclose(np.abs(told[stable]), 1.0, atol=0.15)
        assert np.abs(points.eigenvalues[stable]).max() < 0.95  # they attract within a trial
        kept.append((points.state[stable], np.sign(told[stable])))
    distance = np.linalg.norm(kept[0][0][:, None] - kept[1][0][None], axis=-1) / region.spread
    pairs = assign(distance, 0.1)  # memories of one bit's difference are about 1 apart
    assert len(pairs) == 8
    np.testing.assert_array_equal(kept[0][1][pairs[:, 0]], kept[1][1][pairs[:, 1]])


@pytest.mark.slow
def test_the_jslds_follows_and_its_points_hardly_move_in_the_network(folder, memories):
    with cc.open(folder / "task.h5") as network, cc.open(folder / "inference.h5") as jslds:
        states = network.signals["states"][:]
        error = np.linalg.norm(states - jslds.signals["states"][:], axis=-1)
        points = jslds.signals["expansion_points"][:].reshape(-1, network.sizes["state"]).astype(float)
        drift = network.dynamics().step(points, np.zeros(6)) - points
    assert (error / np.linalg.norm(states, axis=-1)).mean() < 0.05
    assert np.linalg.norm(drift, axis=-1).mean() < 0.05 * memories[0][2].spread


@pytest.fixture(scope="module")
def recording(folder):
    out = folder / "recording"
    assert SIMULATE.invoke([f"source={folder / 'task.h5'}", f"out={out}", "held_in=6", "held_out=2"]) == 0
    return out / "recording.h5"


@pytest.mark.slow
def test_spikes_are_simulated_from_the_network(folder, recording):
    with cc.open(recording) as spikes, cc.open(folder / "task.h5") as network:
        assert spikes.truth_dynamics().kind == "gru"
        np.testing.assert_allclose(spikes.truth["states"][:], network.signals["states"][:], atol=1e-6)


@pytest.mark.slow
def test_an_analysis_compares_the_jslds_with_its_network(folder, recording):
    """The JSLDS has no neurons; what can be said of states and points is said."""
    config = AnalysisConfig(n_resamples=0, search=FixedPointSearch(n_starts=256))
    result = analyse(recording, [folder / "inference.h5"], config, task=folder / "task.h5")
    assert result.row("bit_memory_jslds", "state_r2_true_to_inferred").value > 0.99
    assert result.row("bit_memory_jslds", "fixed_points_stable_matched").value == 8
    assert {row.metric for row in result.left_out} >= {"bps", "rate_r2"}
