"""Whole fits of MR-LFADS: what they write, silent connections, and a system with a known direction."""

from dataclasses import replace

import numpy as np
import pytest
from region_toys import config_of, one_way
from toys import digest_of, signals_of, small_config

import ctd_contract as cc
from ctd_contract.testing import make_recording
from ctd_contract.validation import validate
from ctd_models_torch.config import FitConfig, RecordingConfig
from ctd_models_torch.derived.cli import COMMANDS
from ctd_models_torch.derived.files import Source
from ctd_models_torch.errors import InputError
from ctd_models_torch.fitting import fit
from ctd_models_torch.lfads.config import ControllerConfig, InitialEncoderConfig, RampConfig
from ctd_models_torch.multi_region.config import (
    DivergenceConfig,
    MessagesConfig,
    MRLFADSConfig,
    RegionKLConfig,
    SilenceConfig,
)
from ctd_models_torch.multi_region.silence import silence
from ctd_models_torch.prediction import predict
from ctd_models_torch.training import ModelTraining


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, short_fit):
    """A fit to 40 trials of 15 bins, 5 neurons of A and 4 of B, of which the last 2 are held out."""
    folder = tmp_path_factory.mktemp("fit")
    path = make_recording(folder / "recording.h5", n_trials=40, n_time=15, n_neurons=9, n_regions=2)
    fit(path, folder / "run", model=config_of(dropout=0.1), training=short_fit)
    return folder


@pytest.fixture(scope="module")
def short_fit():
    return FitConfig(max_epochs=2, batch_size=10, learning_rate=1e-2, accelerator="cpu", tensorboard=False)


def test_the_file_says_what_belongs_to_which_region(fitted):
    path = fitted / "run/inference.h5"
    assert validate(path, level="full") == []
    with cc.open(path) as file:
        assert file.names("region") == ["A", "B"]
        columns = {
            (table, name): file.tables[table][name].tolist()
            for table, name in (
                ("states", "region"), ("factors", "region"), ("controls", "region"),
                ("messages", "from"), ("messages", "to"), ("neurons", "region"),
            )
        }  # fmt: skip
        assert file.sizes["message"] == 4
        assert {"communication_std", "inferred_inputs_std", "initial_condition_std"} <= set(file.signals)
    assert columns["states", "region"] == [0] * 9 + [1] * 8
    assert columns["factors", "region"] == [0] * 3 + [1] * 3
    assert columns["controls", "region"] == [0, 1]
    assert columns["messages", "from"] == [1, 1, 0, 0]
    assert columns["messages", "to"] == [0, 0, 1, 1]


def test_the_training_file_gives_the_export(fitted, tmp_path):
    predict(fitted / "run", fitted / "recording.h5", tmp_path / "again.h5", accelerator="cpu")
    assert digest_of(tmp_path / "again.h5") == digest_of(fitted / "run/inference.h5")


def test_an_interrupted_fit_ends_alike(fitted, short_fit, tmp_path, monkeypatch):
    model, path = config_of(dropout=0.1), fitted / "recording.h5"
    losses = ModelTraining.losses

    def dying(self, batch, draw):
        if self.current_epoch == 1:
            raise RuntimeError("killed")
        return losses(self, batch, draw)

    with monkeypatch.context() as patch:
        patch.setattr(ModelTraining, "losses", dying)
        with pytest.raises(RuntimeError, match="killed"):
            fit(path, tmp_path / "run", model=model, training=short_fit)
    fit(path, tmp_path / "run", model=model, training=short_fit, resume=True)
    assert digest_of(tmp_path / "run/inference.h5") == digest_of(fitted / "run/inference.h5")


def test_a_silent_connection_says_nothing_in_its_window(fitted, tmp_path):
    path = tmp_path / "silent.h5"
    source = Source(fitted / "run", fitted / "recording.h5", path, accelerator="cpu")
    silence(source, SilenceConfig(["A:B"], start=4, stop=9))
    whole, silent = signals_of(fitted / "run/inference.h5"), signals_of(path)
    with cc.open(path) as file:
        assert file.name == "mr_lfads without A:B from bin 4 to 9"
        config = file.provenance.config
        assert config["silence"] == {"connections": ["A:B"], "start": 4, "stop": 9}
        assert config["model"]["name"] == "mr_lfads"
        own, dynamics = file.tables["messages"]["from"] == 0, file.dynamics()
        in_b = file.tables["states"]["region"] == 1
    cut = np.ix_(range(40), range(4, 9), own.nonzero()[0])
    assert np.abs(whole["communication"][cut]).min() > 0
    for name in ("communication", "communication_std"):
        assert not silent[name][cut].any()
        np.testing.assert_array_equal(silent[name][:, :4], whole[name][:, :4])
        assert (silent[name][:, 9:][..., own] != 0).all()
    # B hears nothing from bin 4 on; A hears of that in the messages of bin 5.
    changed = (silent["states"] != whole["states"]).any((0, 2))
    assert not changed[:4].any()
    assert changed[4:].all()
    np.testing.assert_array_equal(silent["states"][:, 4][..., ~in_b], whole["states"][:, 4][..., ~in_b])
    # What was exported is what ran.
    drive = np.concatenate([silent[name] for name in dynamics.inputs], axis=2).astype(np.float64)
    state = silent["initial_state"].astype(np.float64)
    for index in range(15):
        state = dynamics.step(state, drive[:, index])
        np.testing.assert_allclose(state, silent["states"][:, index], atol=1e-4)


def test_connections_of_other_models_are_refused(recording, small_fit, tmp_path):
    fit(recording, tmp_path / "run", model=small_config("gru"), training=replace(small_fit, max_epochs=1))
    with pytest.raises(InputError, match="connections are those of model=mr_lfads"):
        silence(Source(tmp_path / "run", recording, tmp_path / "out.h5"), SilenceConfig(["A:B"]))


def test_recordings_of_other_regions_are_refused(fitted, tmp_path):
    new = {"n_trials": 10, "n_time": 15, "n_neurons": 9}
    make_recording(tmp_path / "none.h5", **new)
    with pytest.raises(InputError, match="no column neurons/region, which the model needs"):
        predict(fitted / "run", tmp_path / "none.h5", tmp_path / "out.h5")
    make_recording(tmp_path / "three.h5", **new, n_regions=3)
    with pytest.raises(InputError, match=r"differs .* in the regions of the neurons"):
        predict(fitted / "run", tmp_path / "three.h5", tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["connections=[A:C]"], "connections has A:C"),
        (["connections=[A:B]", "stop=16"], "no window of the 15 bins"),
        (["connections=[A:B]", "start=-1"], "start is at least 0, got -1"),
        ([], "connections has at least one"),
    ],
)
def test_wrong_silence_is_one_sentence_and_exit_code_2(arguments, sentence, fitted, tmp_path, capsys):
    given = [f"run={fitted}/run/inference.h5", f"data={fitted}/recording.h5", f"out={tmp_path}/out"]
    assert COMMANDS["silence"].invoke([*given, *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_the_command_silences(fitted, tmp_path):
    given = [f"run={fitted}/run/inference.h5", f"data={fitted}/recording.h5", f"out={tmp_path}/out"]
    assert COMMANDS["silence"].invoke([*given, "connections=[A:*]", "accelerator=cpu"]) == 0
    found = signals_of(tmp_path / "out/inference.h5")["communication"]
    assert not found[..., 2:].any()
    assert found[..., :2].any()


def test_the_direction_of_a_known_system_is_found(short_fit, tmp_path):
    """A drives B and not the other way round: A's messages to B are the larger ones."""
    path = one_way(tmp_path / "recording.h5", n_trials=160, n_time=24)
    model = MRLFADSConfig(
        size=16,
        factors=4,
        initial_condition=4,
        encoder=InitialEncoderConfig(size=12, bins=3),
        controller=ControllerConfig(size=12, controls=2, encoder_size=12, lag=0, causal=True),
        messages=MessagesConfig(size=2),
        coordinated_dropout=0.2,
        kl=RegionKLConfig(
            messages=DivergenceConfig(weight=0.1, ramp=RampConfig(0, 5)),
            controls=DivergenceConfig(ramp=RampConfig(0, 5)),
        ),
    )
    settings = replace(short_fit, max_epochs=14, batch_size=16, learning_rate=2e-2, gradient_clip=1.0)
    fit(path, tmp_path / "run", model=model, training=settings, reading=RecordingConfig(inputs=None))
    with cc.open(tmp_path / "run/inference.h5") as file:
        to = file.tables["messages"]["to"]
        messages = file.signals["communication"][:][file.split("valid")]
    varying = messages - messages.mean((0, 1))
    to_a, to_b = (np.sqrt(np.square(varying[..., to == region]).mean()) for region in (0, 1))
    assert to_b > 1.5 * to_a
