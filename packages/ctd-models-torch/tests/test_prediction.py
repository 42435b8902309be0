"""A fitted model on recordings: its own gives the export back, others are inferred or refused."""

import numpy as np
import pytest
from toys import digest_of, signals_of, small_config

import ctd_contract as cc
from ctd_contract.testing import make_recording
from ctd_models_torch.config import FitConfig, FlowReadoutConfig, RecordingConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.fitting import fit
from ctd_models_torch.prediction import predict
from ctd_models_torch.saved import FILE, load_model

SETTINGS = FitConfig(max_epochs=2, batch_size=10, accelerator="cpu", tensorboard=False)


@pytest.fixture(scope="module")
def fitted(recording, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    fit(recording, folder, model=small_config("gru"), training=SETTINGS)
    return folder


def test_the_training_file_gives_the_export(fitted, recording, tmp_path):
    predict(fitted, recording, tmp_path / "again.h5", accelerator="cpu")
    assert digest_of(tmp_path / "again.h5") == digest_of(fitted / "inference.h5")


def test_a_streamed_recording_gives_the_same(fitted, recording, tmp_path):
    predict(fitted, recording, tmp_path / "streamed.h5", memory_mb=0, accelerator="cpu")
    assert digest_of(tmp_path / "streamed.h5") == digest_of(fitted / "inference.h5")


def test_a_new_recording_of_the_same_neurons_is_inferred(fitted, tmp_path):
    new = make_recording(tmp_path / "new.h5", n_trials=11, n_time=15, seed=7)
    predict(fitted, new, tmp_path / "out.h5", accelerator="cpu")
    signals = signals_of(tmp_path / "out.h5")
    assert signals["rates"].shape == (11, 15, 8)
    assert np.isfinite(signals["rates"]).all()
    with cc.open(tmp_path / "out.h5") as file, cc.open(new) as source:
        assert file.provenance.parents[0].id == source.id


def test_every_model_and_readout_is_loaded_as_it_was(model_config, recording, tmp_path):
    fitted = fit(recording, tmp_path, model=model_config, training=SETTINGS, readout=FlowReadoutConfig(6, 2))
    loaded = load_model(tmp_path)
    assert loaded.kind == fitted.saved.kind
    assert loaded.shape == fitted.saved.shape
    weights = loaded.model.state_dict()
    for name, value in fitted.saved.model.state_dict().items():
        np.testing.assert_array_equal(value.cpu().numpy(), weights[name].numpy())


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"n_neurons": 9}, "number of neurons: expected 8, got 9"),
        ({"n_held_out": 3}, "held-out neurons"),
        ({"n_inputs": 3}, "number of input channels: expected 2, got 3"),
        ({"bin_width_s": 0.02}, "bin width in s: expected 0.01, got 0.02"),
        ({"continuous": True}, "observations: expected spikes, got activity"),
        ({"n_time": 9}, "has 9 bins, but the model's encoder reads up to bin 14"),
        ({"n_inputs": 0}, "has no channels"),
    ],
)
def test_recordings_that_differ_are_refused(changes, what, fitted, tmp_path):
    path = make_recording(tmp_path / "other.h5", **({"n_trials": 10, "n_time": 15} | changes))
    with pytest.raises(InputError, match=what):
        predict(fitted, path, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_a_folder_without_a_model_and_a_damaged_one_are_refused(fitted, recording, tmp_path):
    with pytest.raises(InputError, match="there is no fitted model in"):
        predict(tmp_path, recording, tmp_path / "out.h5")
    whole = (fitted / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        predict(tmp_path, recording, tmp_path / "out.h5")


def test_a_model_of_a_window_predicts_shorter_recordings(recording, tmp_path):
    config = small_config("gru")
    config.encoder.window = 5
    fit(recording, tmp_path, model=config, training=SETTINGS, reading=RecordingConfig())
    new = make_recording(tmp_path / "new.h5", n_trials=10, n_time=9)
    predict(tmp_path, new, tmp_path / "out.h5", accelerator="cpu")
    assert signals_of(tmp_path / "out.h5")["rates"].shape == (10, 9, 8)
