"""The command: a valid file that replays, the same in two processes, clear errors."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import ctd_contract as cc
import ctd_contract.testing as toys
from ctd_models_jax.cli import COMMAND

TINY = ["model.units=6", "model.encoder_units=8", "training.epochs=4", "training.checkpoint_every=2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "recording.h5"
    toys.make_recording(path, n_trials=40, n_time=15, n_neurons=6, n_states=3, lengths=True)
    return path


@pytest.mark.parametrize("model", ["gru", "lds"])
def test_the_result_replays_from_its_own_dynamics(data, tmp_path, model):
    assert COMMAND.invoke([f"data={data}", f"model={model}", f"out={tmp_path}", *TINY]) == 0
    assert not [f for f in cc.validate(tmp_path / "inference.h5", level="full") if f.severity == "error"]
    with cc.open(tmp_path / "inference.h5") as file, cc.open(data) as truth:
        dynamics, readout = file.dynamics(), file.readout()
        state = file.signals["initial_state"][:].astype(float)
        for k in range(3):
            state = dynamics.step(state, truth.signals["inputs"][:, k])
            valid = file.valid_bins(slice(None))[:, k]
            np.testing.assert_allclose(file.signals["states"][:, k][valid], state[valid], atol=1e-4)
        rates = readout.evaluate(file.signals["states"][0, :3])
        np.testing.assert_allclose(file.signals["rates"][0, :3], rates, rtol=1e-4)
        assert file.provenance.parents[0].digest == truth.digest


def digest(data, out, *arguments, **environment):
    command = [sys.executable, "-m", "ctd_models_jax", f"data={data}", f"out={out}", *TINY, *arguments]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | environment)
    with cc.open(out / "inference.h5") as file:
        return file.digest


def test_same_seed_same_digest_in_two_processes(data, tmp_path):
    first = digest(data, tmp_path / "a")
    own = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}  # compiles anew
    assert first == digest(data, tmp_path / "b", **own)
    assert first != digest(data, tmp_path / "c", "seed=1")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data=absent.h5"], "no file absent.h5"),
        (["data={data}", "model.inputs=[behaviour]"], "no signal behaviour"),
        (["data={data}", "model=gruu"], "did you mean 'gru'?"),
        (["data={data}", "model.units=0"], "model.units must be above 0, got 0"),
        (["data={data}", "model.dropout=1"], "dropout must lie in [0, 1), got 1.0"),
        (["data={data}", "training.checkpoint_every=0"], "checkpoint_every must be above 0, got 0"),
        (["data={data}", "training.coordinated_dropout=1"], "coordinated_dropout must lie in [0, 1)"),
        (["data={data}", "training.epoch=3"], "did you mean 'training.epochs'?"),
    ],
)
def test_bad_input_is_a_sentence(data, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert COMMAND.invoke([argument.format(data=data) for argument in arguments]) == 2
    assert words in capsys.readouterr().err
