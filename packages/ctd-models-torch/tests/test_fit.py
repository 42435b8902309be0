"""Whole fits: what they write, that it can be replayed, repeated, continued and trusted."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import digest_of, fit_with_everything, small_config

import ctd_contract as cc
from ctd_contract.testing import make_recording
from ctd_contract.torch.checkpoint import load_checkpoint
from ctd_contract.torch.training import NonFiniteLossError
from ctd_models_torch.config import FlowReadoutConfig, GrowthConfig, MLPReadoutConfig, RecordingConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.fitting import fit
from ctd_models_torch.losses import Poisson

# A fit in a process of its own; it dies of SIGKILL in the middle of the epoch that is named last.
SCRIPT = """
import os, signal, sys
import torch
from toys import fit_with_everything
from ctd_models_torch.training import ModelTraining

torch.set_num_threads(1)
recording, folder, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
losses = ModelTraining.losses

def dying(self, batch, draw):
    if self.current_epoch == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return losses(self, batch, draw)

ModelTraining.losses = dying
fit_with_everything(recording, folder)
"""


def run_script(recording, folder, *, die_in=-1):
    environment = os.environ | {"PYTHONPATH": os.path.dirname(__file__), "OMP_NUM_THREADS": "1"}
    arguments = [str(recording), str(folder), str(die_in)]
    return subprocess.run([sys.executable, "-c", SCRIPT, *arguments], env=environment, capture_output=True)


@pytest.mark.parametrize("path", ["recording", "ragged"])
def test_exported_dynamics_replay_the_exported_states(path, dynamic_config, small_fit, tmp_path, request):
    fitted = fit(request.getfixturevalue(path), tmp_path, model=dynamic_config, training=small_fit)
    with cc.open(fitted.path) as file:
        signals = {name: array[:].astype(np.float64) for name, array in file.signals.items()}
        dynamics, readout, kept = file.dynamics(), file.readout(), file.valid_bins()
    assert dynamics.inputs[-1] == "inputs"
    drive = np.concatenate([signals[name] for name in dynamics.inputs], axis=2)
    state = signals["initial_state"]
    for index in range(kept.shape[1]):
        state = dynamics.step(state, drive[:, index])
        rows = kept[:, index]
        np.testing.assert_allclose(state[rows], signals["states"][rows, index], atol=1e-4)
    np.testing.assert_allclose(readout.evaluate(signals["states"])[kept], signals["rates"][kept], rtol=1e-3)
    assert (signals["rates"][kept] > 0).all()
    assert not signals["rates"][~kept].any()
    assert not signals["states"][~kept].any()


def test_the_file_names_its_recording_and_covers_all_its_trials(recording, small_fit, tmp_path):
    fitted = fit(recording, tmp_path, model=small_config("gru"), training=small_fit, seed=4, run="r1")
    with cc.open(fitted.path) as file, cc.open(recording) as source:
        (parent,) = file.provenance.parents
        assert parent.id == source.id
        assert parent.digest == source.digest
        assert file.provenance.seed == 4
        assert file.provenance.run == "r1"
        assert file.provenance.config["model"]["size"] == 4
        np.testing.assert_array_equal(file.axis("trial"), source.axis("trial"))
        for split in cc.SPLITS:
            np.testing.assert_array_equal(file.split(split), source.split(split))
        np.testing.assert_array_equal(file.held_out, source.held_out)
        assert file.signals["rates"].unit == "spikes/s"


@pytest.mark.parametrize(
    "readout", [MLPReadoutConfig(hidden_size=6), FlowReadoutConfig(hidden_size=6, steps=3)]
)
def test_other_readouts_are_fitted_too(readout, recording, small_fit, tmp_path):
    fitted = fit(recording, tmp_path, model=small_config("node"), training=small_fit, readout=readout)
    with cc.open(fitted.path) as file:
        assert file.readout().is_opaque == isinstance(readout, FlowReadoutConfig)
        assert np.isfinite(file.signals["rates"][:]).all()


def test_a_flow_without_room_is_refused(recording, small_fit, tmp_path):
    config = replace(small_config("gru"), size=9)
    with pytest.raises(InputError, match="at most 8 states, got 9"):
        fit(recording, tmp_path, model=config, training=small_fit, readout=FlowReadoutConfig())


def test_continuous_activity_is_predicted_in_its_own_unit(small_fit, tmp_path):
    path = make_recording(tmp_path / "activity.h5", n_trials=40, n_time=15, continuous=True)
    fitted = fit(path, tmp_path / "run", model=small_config("lds"), training=small_fit)
    with cc.open(fitted.path) as file, cc.open(path) as source:
        assert "rates" not in file.signals
        assert file.signals["activity_prediction"].unit == source.signals["activity"].unit
        found = file.readout().evaluate(file.signals["states"][:])
        np.testing.assert_allclose(found, file.signals["activity_prediction"][:], rtol=1e-4, atol=1e-5)


def test_training_lowers_the_loss_and_starts_at_the_mean_rate(small_fit, tmp_path):
    recording = make_recording(tmp_path / "fast.h5", n_trials=60, n_time=20, n_neurons=12, mean_rate_hz=100.0)
    settings = replace(small_fit, max_epochs=15)
    fit(recording, tmp_path, model=small_config("gru"), training=settings)
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("valid/loss")
    losses = [float(row.split(",")[column]) for row in rows[1:]]
    with cc.open(recording) as file:
        spikes = file.signals["spikes"][:].astype(float)
        train, valid = spikes[file.split("train")], spikes[file.split("valid")]
    mean = train.mean((0, 1))
    null = (mean - valid * np.log(mean)).mean()
    assert losses[0] < null + 0.05
    assert min(losses) < losses[0]


def test_streamed_equals_in_memory(ragged, small_fit, tmp_path):
    for name, megabytes in (("held", 4096), ("streamed", 0)):
        reading = RecordingConfig(memory_mb=megabytes)
        fit(ragged, tmp_path / name, model=small_config("gru"), training=small_fit, reading=reading)
    assert digest_of(tmp_path / "held/inference.h5") == digest_of(tmp_path / "streamed/inference.h5")
    assert not [path for path in (tmp_path / "streamed").iterdir() if path.name.startswith("tmp")]


def test_the_encoder_window_is_kept(recording, small_fit, tmp_path, random):
    config = small_config("gru")
    config.encoder.window = 4
    fitted = fit(recording, tmp_path, model=config, training=small_fit)
    assert fitted.saved.shape.seen_bins == [0, 1, 2, 3]


@pytest.mark.slow
def test_same_seed_same_file_and_a_killed_run_ends_alike(ragged, tmp_path):
    """Whole in this process; killed in one and continued in another; another seed."""
    whole, broken, other = (tmp_path / name for name in ("whole", "broken", "other"))
    fit_with_everything(ragged, whole)
    assert run_script(ragged, broken, die_in=3).returncode == -9
    assert not (broken / "inference.h5").exists()
    continued = run_script(ragged, broken)
    assert continued.returncode == 0, continued.stderr.decode()
    fit_with_everything(ragged, other, seed=1)
    assert digest_of(broken / "inference.h5") == digest_of(whole / "inference.h5")
    assert digest_of(other / "inference.h5") != digest_of(whole / "inference.h5")
    assert (broken / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()


def test_a_non_finite_loss_stops_the_run_names_the_term_and_keeps_the_last_good_one(
    recording, small_fit, tmp_path, monkeypatch
):
    nll, calls = Poisson.nll, []

    def breaking(self, prediction, data):
        calls.append(None)
        return nll(self, prediction, data) * (float("nan") if len(calls) > 5 else 1.0)

    monkeypatch.setattr(Poisson, "nll", breaking)
    with pytest.raises(NonFiniteLossError, match="'reconstruction' is nan in epoch 2"):
        fit(recording, tmp_path, model=small_config("gru"), training=small_fit)
    kept = load_checkpoint(tmp_path / "checkpoints/last.safetensors")["state_dict"]
    assert all(torch.isfinite(tensor).all() for name, tensor in kept.items() if name != "plateau")
    assert not (tmp_path / "inference.h5").exists()


def test_growth_is_used(recording, small_fit, tmp_path, monkeypatch):
    from ctd_models_torch.autoencoder.model import SequentialAutoencoder

    lengths = []
    losses = SequentialAutoencoder.losses

    def watched(self, batch, draw, *, n_time, epoch):
        lengths.append((epoch, n_time))
        return losses(self, batch, draw, n_time=n_time, epoch=epoch)

    monkeypatch.setattr(SequentialAutoencoder, "losses", watched)
    settings = replace(small_fit, max_epochs=4, growth=GrowthConfig(start_bins=3, full_at=0.5))
    fit(recording, tmp_path, model=small_config("node"), training=settings)
    assert sorted(set(lengths)) == [(0, 3), (1, 9), (2, 15), (3, 15)]


def test_import_is_light():
    heavy = ("torch", "hydra", "matplotlib", "pytorch_lightning")
    code = f"import sys, ctd_models_torch; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_step_of_more_trials_than_there_are_is_refused(recording, small_fit, tmp_path):
    with pytest.raises(InputError, match=r"fewer than training.batch_size=1000: take at most"):
        fit(recording, tmp_path, model=small_config("gru"), training=replace(small_fit, batch_size=1000))
