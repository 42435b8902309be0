"""``ctd-models-jax model=jslds``: files that replay, a killed run, presets, errors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import yaml

import ctd_contract as cc
from ctd_models_jax.cli import COMMAND
from ctd_models_jax.jslds.config import JSLDSFitConfig, JSLDSTrainingConfig
from ctd_models_jax.tasks import TASKS

TINY = ["task.n_bits=1", "task.n_time=8", "task.ignored_bins=2", "model.units=8", "n_trials=40"]
SHORT = ["training.steps=200", "training.steps_per_call=50", "training.batch_size=16", "training.n_valid=32"]
LEARN = [*TINY, *SHORT, "training.learning_rate=0.02", "training.checkpoint_every=1"]
# Dies of SIGKILL after the checkpoint of the second call.
KILLED = """
import os, signal, sys
from ctd_models_jax.cli import COMMAND
from ctd_models_jax.training import record

save = record.Record.save
def save_and_die(self, state, stage, epoch):
    save(self, state, stage, epoch)
    if epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)
record.Record.save = save_and_die
COMMAND.invoke(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Runs the command in a process of its own; what one of them has compiled, the others find."""
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}
    environment = cache | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1"} | os.environ

    def run(out, *arguments, program=("-m", "ctd_models_jax")):
        command = [sys.executable, *program, "model=jslds", f"out={out}", *LEARN, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module")
def folder(start, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    done = start(out)
    assert done.returncode == 0, done.stderr
    assert "relative_error" in done.stderr  # the line of progress
    return out


def test_the_command_leaves_a_network_and_its_jslds(folder):
    for name in ("task.h5", "inference.h5"):
        assert not cc.validate(folder / name, level="full")
    with cc.open(folder / "task.h5") as network, cc.open(folder / "inference.h5") as jslds:
        assert (network.kind, network.dynamics().kind) == ("task", "gru")
        assert (jslds.kind, jslds.dynamics().kind) == ("inference", "jslds")
        (parent,) = jslds.provenance.parents
        assert (parent.digest, parent.role) == (network.digest, "network")
        assert network.provenance.run == jslds.provenance.run
        assert [int(network.split(name).sum()) for name in ("train", "valid", "test")] == [28, 4, 8]
        np.testing.assert_array_equal(network.phases["scored"], np.tile([2, 8], (40, 1)))
        for file in (network, jslds):
            inputs = file.signals["inputs"][:]
            state = file.signals["initial_state"][:].astype(float)
            for k in range(8):
                state = file.dynamics().step(state, inputs[:, k])
                np.testing.assert_allclose(file.signals["states"][:, k], state, atol=1e-4)
            outputs = file.readout().evaluate(file.signals["states"][:])
            np.testing.assert_allclose(file.signals["outputs"][:], outputs, atol=1e-4)
        before = np.concatenate(
            [jslds.signals["initial_state"][:][:, None], jslds.signals["states"][:, :-1]], axis=1
        )
        points, _ = jslds.dynamics().expansion_point(before, jslds.signals["inputs"][:])
        np.testing.assert_allclose(jslds.signals["expansion_points"][:], points, atol=1e-5)


def test_training_brings_both_together(folder):
    with cc.open(folder / "task.h5") as network, cc.open(folder / "inference.h5") as jslds:
        h, a = network.signals["states"][:], jslds.signals["states"][:]
        assert np.linalg.norm(h - a) / np.linalg.norm(h) < 0.25
        right = np.sign(jslds.signals["outputs"][:, 2:]) == network.signals["targets"][:, 2:]
        assert right.mean() > 0.9
    errors = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    column = errors[0].index("valid/relative_error")
    assert float(errors[-1][column]) < 0.9 * float(errors[1][column])


def test_a_killed_run_continues_to_the_same_files(folder, start, tmp_path):
    assert start(tmp_path, program=("-c", KILLED)).returncode == -signal.SIGKILL
    assert not (tmp_path / "task.h5").exists()
    done = start(tmp_path, "resume=true")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "metrics.csv").read_text() == (folder / "metrics.csv").read_text()
    for name in ("task.h5", "inference.h5"):
        with cc.open(tmp_path / name) as resumed, cc.open(folder / name) as whole:
            assert resumed.digest == whole.digest


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["task=bit_memry"], "did you mean 'bit_memory'?"),
        (["task.n_bit=2"], "did you mean 'task.n_bits'?"),
        (["task.n_time=4"], "ignored_bins must leave one of 4 bins"),
        (["model.cell=lstm"], "cell must be one of gru, tanh, relu"),
        (["model.weights.agreement=-1"], "agreement must not be negative"),
        (["training.noise_std=-1"], "noise_std must not be negative"),
        (["training.schedule=linear"], "schedule must be one of"),
        (["n_trials=3"], "n_trials must be at least 10"),
        (["data=x.h5"], "data"),
        (["preset=publishd"], "there is no preset 'publishd'"),
    ],
)
def test_bad_input_is_a_sentence(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert COMMAND.invoke(["model=jslds", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_noise_is_for_memories_that_are_discrete_unless_one_says_otherwise():
    assert JSLDSFitConfig(task=TASKS["bit_memory"]()).noise_std == 0.05
    assert JSLDSFitConfig(task=TASKS["context_integration"]()).noise_std == 0.0
    assert JSLDSFitConfig(task=TASKS["sine_generation"]()).noise_std == 0.0
    for task in TASKS.values():
        assert JSLDSFitConfig(task=task(), training=JSLDSTrainingConfig(noise_std=0.1)).noise_std == 0.1


PUBLISHED = {
    "training": {
        "schedule": "exponential",
        "learning_rate": 0.02,
        "decay": 0.9999,
        "epsilon": 0.1,
        "gradient_clip": 10,
        "batch_size": 256,
        "quiet_share": 0,
        "noise_std": 0,
    },
    "model": {"gain": 0.9, "layers": 2, "activation": "tanh", "learned_input_point": False},
    "weights": {"jslds": 1, "fixed_point": 100, "agreement": 10},
    "task": {"n_time": 25},
}
PRESETS = {
    "published_bit_memory": {
        "training": {"steps": 40000},
        "model": {"cell": "gru", "units": 100},
        "weights": {"rnn": 3, "l2": 0},
        "task": {"n_bits": 3, "pulse_probability": 2 / 3, "ignored_bins": 5, "noise_std": 0},
    },
    "published_context_integration": {
        "training": {"steps": 50000},
        "model": {"cell": "tanh", "units": 128},
        "weights": {"rnn": 1, "l2": 1e-5},
        "task": {"biases": "normal", "bias_scale": 0.01, "bin_width_s": 0.04, "noise_std": 0.025},
    },
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_the_published_settings(name, capsys):
    """Smith et al. 2021: the table of the hyper-parameters, number by number."""
    assert COMMAND.invoke(["model=jslds", f"preset={name}", "--cfg", "job"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    shown["weights"] = shown["model"]["weights"]
    for part, common in PUBLISHED.items():
        for key, value in (common | PRESETS[name][part]).items():
            found = shown[part][key]
            assert (float(found) if isinstance(value, float) else found) == value, f"{part}.{key}"
