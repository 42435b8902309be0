"""The command: what it writes, and how it refuses."""

import pytest
from omegaconf import OmegaConf
from toys import digest_of

import ctd_contract as cc
from ctd_contract.testing import make_recording, make_task
from ctd_models_torch.cli import COMMAND
from ctd_models_torch.presets import PRESETS
from ctd_models_torch.registry import MODELS, TRAININGS
from ctd_models_torch.sessions.arguments import name_files

SMALL = (
    "model.size=4",
    "model.encoder.size=5",
    "training.max_epochs=2",
    "training.batch_size=20",
    "training.accelerator=cpu",
    "training.tensorboard=false",
    "threads=1",
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_fit_then_predict(recording, tmp_path):
    assert COMMAND.invoke(["model=lds", f"data={recording}", "out=fit", "seed=3", *SMALL]) == 0
    for name in ("inference.h5", "model.safetensors", "metrics.csv", "config.yaml", "checkpoints"):
        assert (tmp_path / "fit" / name).exists()
    with cc.open("fit/inference.h5") as file:
        assert file.provenance.config["model"]["name"] == "lds"
        assert file.provenance.seed == 3
        assert "out" not in file.provenance.config
    new = [name_files("predict=fit"), f"data={recording}", "out=new", "training.accelerator=cpu"]
    assert COMMAND.invoke(new) == 0
    assert digest_of("new/inference.h5") == digest_of("fit/inference.h5")


def test_prediction_of_a_model_that_was_fitted_anew_is_another_run(recording, capsys):
    """The folder's name alone must not decide that a prediction is already there."""
    predict = [name_files("predict=fit"), f"data={recording}", "training.accelerator=cpu"]
    for seed in (0, 1):
        arguments = [f"data={recording}", "out=fit", f"seed={seed}", "overwrite=true", *SMALL]
        assert COMMAND.invoke(arguments) == 0
        assert COMMAND.invoke(predict) == 0
    assert "already done" not in capsys.readouterr().err


def test_a_finished_run_is_left_alone(recording, tmp_path, capsys):
    arguments = [f"data={recording}", "out=fit", *SMALL]
    assert COMMAND.invoke(arguments) == 0
    before = (tmp_path / "fit/inference.h5").stat().st_mtime_ns
    assert COMMAND.invoke(arguments) == 0
    assert (tmp_path / "fit/inference.h5").stat().st_mtime_ns == before
    assert "already done" in capsys.readouterr().err


@pytest.mark.parametrize("model", sorted(MODELS))
def test_training_defaults_follow_the_model(model, capsys):
    assert COMMAND.invoke(["data=recording.h5", f"model={model}", "--cfg", "job"]) == 0
    assert f"learning_rate: {TRAININGS[model]().learning_rate}" in capsys.readouterr().out
    assert COMMAND.invoke(["data=recording.h5", f"model={model}", "training=lds", "--cfg", "job"]) == 0
    assert f"learning_rate: {TRAININGS['lds']().learning_rate}" in capsys.readouterr().out


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_are_valid_and_give_way_to_the_user(preset, capsys):
    arguments = ["data=recording.h5", f"preset={preset}", "training.batch_size=7", "--cfg", "job"]
    assert COMMAND.invoke(arguments) == 0
    shown = OmegaConf.create(capsys.readouterr().out)
    assert shown.training.batch_size == 7
    assert shown.training.gradient_clip in (0.01, 200)
    if "kl" in shown.model:
        # The bound itself, in a plain run.
        assert shown.model.reconstruction == "sum"
        assert shown.model.kl.initial_condition == 1
        assert shown.model.kl.controls == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["model=gruu"], "gru"),
        (["model.sise=3"], "size"),
        (["training.max_epochs=many"], "max_epochs"),
        (["training.batch_size=0"], "batch_size is at least 1, got 0"),
        (["model.size=0"], "model.size is at least 1, got 0"),
        (["model.encoder.window=0"], "encoder.window is at least 1 or null, got 0"),
        (["model.dropout=1"], "dropout is in [0, 1), got 1.0"),
        (["model.coordinated_dropout=-0.1"], "coordinated_dropout is in [0, 1), got -0.1"),
        (["recording.memory_mb=-1"], "memory_mb is at least 0, got -1"),
        (["model=node", "model.hidden_layers=-1"], "hidden_layers is at least 0, got -1"),
        (["readout=mlp", "readout.hidden_size=0"], "hidden_size is at least 1, got 0"),
        (["readout=mlp", "readout.activation=sine"], "activation"),
        (["recording.inputs=input"], "did you mean inputs?"),
        ([name_files("predict=nowhere")], "there is no file nowhere/inference.h5"),
        (["readout=flow", "model.size=9"], "at most 8 states, got 9"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, sentence, recording, capsys):
    given = {argument.split("=")[0] for argument in arguments}
    small = [argument for argument in SMALL if argument.split("=")[0] not in given]
    assert COMMAND.invoke([f"data={recording}", "out=fit", *small, *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert sentence in error
    assert "Traceback" not in error


def test_missing_and_wrong_files(tmp_path, capsys):
    assert COMMAND.invoke(["data=nowhere.h5"]) == 2
    assert "nowhere.h5" in capsys.readouterr().err
    assert COMMAND.invoke(["out=x"]) == 2
    assert "data is required" in capsys.readouterr().err
    make_task(tmp_path / "task.h5")
    assert COMMAND.invoke(["data=task.h5", "out=x"]) == 2
    assert "simulate spikes from it first" in capsys.readouterr().err


def test_a_mismatched_recording_is_refused_and_nothing_is_written(recording, tmp_path, capsys):
    assert COMMAND.invoke([f"data={recording}", "out=fit", *SMALL]) == 0
    make_recording(tmp_path / "other.h5", n_neurons=9)
    assert COMMAND.invoke([name_files("predict=fit"), "data=other.h5", "out=new"]) == 2
    assert "number of neurons: expected 8, got 9" in capsys.readouterr().err
    assert not (tmp_path / "new/inference.h5").exists()
