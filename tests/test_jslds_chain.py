"""A network and its JSLDS, trained in JAX: what ctd-analysis finds in both files; spikes from the network."""

from __future__ import annotations

import numpy as np
import pytest

import ctd_contract as cc
from ctd_analysis.fixed_points import Region, find_fixed_points
from ctd_analysis.fixed_points.match import assign
from ctd_models_jax.cli import COMMAND
from ctd_sim.cli import COMMAND as SIMULATE

ONE_BIT = ["task.n_bits=1", "task.n_time=12", "task.ignored_bins=3", "model.units=12", "n_trials=60"]
SHORT = ["training.steps=600", "training.steps_per_call=100", "training.batch_size=32", "training.n_valid=32"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("jslds")
    arguments = ["model=jslds", f"out={out}", *ONE_BIT, *SHORT, "training.learning_rate=0.02"]
    assert COMMAND.invoke(arguments) == 0
    return out


def memories(file, readout):
    """Stable fixed points and their outputs."""
    states = file.signals["states"][:]
    visited = states[:, 3:].reshape(-1, states.shape[-1]).astype(float)
    found = find_fixed_points(file.dynamics(), visited, bin_width_s=file.bin_width_s)
    stable = found.state[found.is_fixed & found.stable]
    return stable, readout.evaluate(stable), Region.of(visited)


@pytest.mark.slow
def test_both_remember_at_the_same_stable_fixed_points(folder):
    with cc.open(folder / "task.h5") as network, cc.open(folder / "inference.h5") as jslds:
        readout = network.readout()
        own, outputs, region = memories(network, readout)
        linear, linear_outputs, _ = memories(jslds, readout)
    for values in (outputs, linear_outputs):
        assert sorted(np.round(values.ravel()).tolist()) == [-1.0, 1.0]
    distance = np.linalg.norm(own[:, None] - linear[None], axis=-1) / region.spread
    assert len(assign(distance, 0.5)) == 2  # the two memories are about 1.5 apart


@pytest.mark.slow
def test_spikes_are_simulated_from_the_network(folder):
    out = folder / "recording"
    assert SIMULATE.invoke([f"source={folder / 'task.h5'}", f"out={out}", "held_in=6", "held_out=2"]) == 0
    with cc.open(out / "recording.h5") as recording, cc.open(folder / "task.h5") as network:
        assert recording.truth_dynamics().kind == "gru"
        np.testing.assert_allclose(recording.truth["states"][:], network.signals["states"][:], atol=1e-6)
