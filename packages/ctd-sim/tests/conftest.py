"""A small task file, written here from nothing but the contract."""

import numpy as np
import pytest

import ctd_contract as cc
from ctd_contract.dynamics import RNN


def make_task(path, *, n_trials=24, n_time=30, n_states=4, seed=0, padded=True, **header):
    """A driven tanh network with noise, as a task file with everything that a recording may carry over."""
    rng = np.random.default_rng(seed)
    dynamics = RNN(
        rng.standard_normal((n_states, n_states)),
        rng.standard_normal((n_states, 2)),
        np.zeros(n_states),
        alpha=0.4,
    )
    clean = (rng.random((n_trials, n_time, 2)) < 0.1).astype(np.float32)
    inputs = (clean + 0.1 * rng.standard_normal(clean.shape)).astype(np.float32)
    lengths = rng.integers(n_time // 2, n_time + 1, n_trials) if padded else np.full(n_trials, n_time)
    valid = np.arange(n_time) < lengths[:, None]
    initial = rng.standard_normal((n_trials, n_states)).astype(np.float32)
    states, x = np.zeros((n_trials, n_time, n_states), np.float32), initial.astype(float)
    for k in range(n_time):
        x = dynamics.step(x, inputs[:, k]) + 0.01 * rng.standard_normal(x.shape)
        states[:, k] = x
    points = cc.Probe.points(states, inputs)
    arrays = {
        "states": states * valid[..., None],
        "inputs": inputs * valid[..., None],
        "inputs_clean": clean * valid[..., None],
        "targets": np.clip(clean.cumsum(axis=1), 0, 1) * valid[..., None],
        "outputs": clean * valid[..., None],
        "initial_state": initial,
    }
    go = np.stack([lengths // 3, lengths - 2], axis=1).astype(np.int32)
    go[0] = -1
    with cc.create(
        path,
        "task",
        name="toy",
        producer="tests",
        trial=100 + np.arange(n_trials),
        time=-0.1 + 0.02 * np.arange(n_time),
        bin_width_s=0.02,
        axes={"state": n_states, "input": 2, "target": 2, "output": 2, "condition": 2},
        **header,
    ) as writer:
        writer.column("trials", "split", np.resize([0, 0, 0, 1, 2], n_trials).astype(np.uint8))
        if padded:
            writer.column("trials", "length", lengths.astype(np.int32), unit="bin")
        writer.column("trials", "condition", np.arange(n_trials) % 2)
        writer.column("trials", "go_cue", np.linspace(0, 1, n_trials), unit="s")
        writer.column("conditions", "name", ["left", "right"])
        writer.names("input", ["bit 0", "bit 1"])
        writer.names("target", ["memory 0", "memory 1"])
        writer.phase("go", go)
        for name, array in arrays.items():
            writer.signal(name, array)
        writer.dynamics(dynamics, cc.Probe(*points, dynamics.step(*points)))
    return path


@pytest.fixture
def task(tmp_path):
    """Path of a task file with trials of unequal length."""
    return make_task(tmp_path / "task.h5")


@pytest.fixture
def write_task():
    """The function that writes such files."""
    return make_task
