"""The tasks that ctd-models-jax draws on the device are those that ctd-tasks writes to files."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

import ctd_contract as cc
from ctd_models_jax import tasks as device
from ctd_models_jax.tasks.config import TASKS as DEVICE_TASKS
from ctd_tasks.config import SimulationConfig
from ctd_tasks.networks import NETWORKS, build
from ctd_tasks.simulation import write_task
from ctd_tasks.tasks import TASKS

VARIANTS = {
    "bits": ("bit_memory", {"n_bits": 2, "noise_std": 0.1}),
    "rare pulses": ("bit_memory", {"pulse_probability": 0.2, "ignored_bins": 3}),
    "context": ("context_integration", {}),
    "context, as published": ("context_integration", {"biases": "normal"}),
    "switches of context": ("context_integration", {"switch_probability": 0.6}),
    "sine": ("sine_generation", {}),
    "any sine": ("sine_generation", {"n_frequencies": None, "highest_hz": 3.0}),
}


@pytest.fixture(scope="module", params=VARIANTS)
def pair(request, tmp_path_factory):
    """A file of an untrained network's trials, and the device's task with the settings in the file."""
    name, settings = VARIANTS[request.param]
    task, path = TASKS[name](**settings), tmp_path_factory.mktemp("task") / "task.h5"
    network = build(NETWORKS["gru"](units=4), len(task.input_names), len(task.output_names), seed=0)
    provenance = {"task": dataclasses.asdict(task)}
    write_task(path, network, task, config=SimulationConfig(n_trials=2000), seed=3, provenance=provenance)
    with cc.open(path) as file:
        stored = file.provenance.config["task"]
        known = {field.name for field in dataclasses.fields(DEVICE_TASKS[name])}
        own = DEVICE_TASKS[name](**{key: value for key, value in stored.items() if key in known})
        yield file, own


def test_defaults_are_the_same():
    for name, kind in DEVICE_TASKS.items():
        ours, theirs = vars(kind()), vars(TASKS[name]())
        assert {key: theirs[key] for key in ours} == ours


def test_channels_and_scored_bins_are_the_files(pair):
    file, task = pair
    assert tuple(file.names("input")) == task.input_names
    assert tuple(file.names("target")) == task.target_names
    drawn = device.draw(task, jax.random.key(0), 2)
    scored = np.zeros(task.n_time)
    start, stop = file.phases["scored"][0]
    scored[start:stop] = 1
    np.testing.assert_array_equal(drawn.mask, scored)
    np.testing.assert_allclose(file.time, task.bin_width_s * np.arange(task.n_time))


def test_targets_follow_from_the_files_inputs(pair):
    file, task = pair
    given = "inputs" if isinstance(task, DEVICE_TASKS["context_integration"]) else "inputs_clean"
    found = device.targets(task, file.signals[given][:])
    np.testing.assert_allclose(found, file.signals["targets"][:], atol=1e-4)


def distance(one, other):
    """Largest difference of two empirical distribution functions; rarely above 1.95 √(2/n)."""
    at = np.concatenate([one, other])
    shares = [np.searchsorted(np.sort(values), at, side="right") / len(values) for values in (one, other)]
    return np.abs(shares[0] - shares[1]).max()


def test_inputs_have_the_files_distribution(pair):
    """Means, spreads and distributions of 2000 trials each, within what chance allows."""
    file, task = pair
    drawn = device.draw(task, jax.random.key(1), 2000)
    for name in ("inputs", "inputs_clean", "targets"):
        theirs, ours = file.signals[name][:], np.asarray(getattr(drawn, name))
        assert theirs.shape == ours.shape
        # Trials are independent, bins of one trial are not.
        error = np.sqrt((theirs.mean(1).var(0) + ours.mean(1).var(0)) / 2000)
        assert (np.abs(theirs.mean((0, 1)) - ours.mean((0, 1))) <= 5 * error + 1e-6).all()
        np.testing.assert_allclose(ours.std((0, 1)), theirs.std((0, 1)), rtol=0.06)
        for channel in range(ours.shape[-1]):
            assert distance(ours[:, -1, channel], theirs[:, -1, channel]) < 1.95 * np.sqrt(2 / 2000)
