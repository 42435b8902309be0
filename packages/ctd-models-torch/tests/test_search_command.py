"""The command ``search``, and sweeps of several jobs by launchers of Hydra."""

import csv
import sys
from pathlib import Path

import pytest

import ctd_contract as cc
from ctd_models_torch import cli
from ctd_models_torch.presets import PRESETS
from ctd_models_torch.search.cli import COMMAND, arguments_of

SPACE = (
    "search.space=[{key: training.learning_rate, low: 1e-4, high: 1e-2, start: log_uniform},"
    "{key: model.dropout, high: 0.6, weight: 0.5}]"
)
SMALL = (
    "model.size=4",
    "model.encoder.size=4",
    "training.max_epochs=2",
    "training.batch_size=20",
    "training.accelerator=cpu",
    "threads=1",
)
SEARCH = ("search.population=2", "search.generation_epochs=1", "search.burn_in_epochs=1")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def search(*arguments) -> int:
    return COMMAND.invoke(arguments_of(arguments))


def test_search_then_predict(recording, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["", "search", f"data={recording}", "out=found", SPACE, *SMALL, *SEARCH])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    assert leaving.value.code == 0
    assert "best valid loss" in capsys.readouterr().err
    with Path("found/members.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert float(rows[0]["model.dropout"]) <= 0.6
    predict = ["predict=found", f"data={recording}", "out=new", "training.accelerator=cpu"]
    monkeypatch.setattr(sys, "argv", ["", *predict])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    assert leaving.value.code == 0
    with cc.open("new/inference.h5") as file, cc.open("found/inference.h5") as best:
        assert file.digest == best.digest
        assert best.provenance.config["search"]["population"] == 2


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_of_fits_can_be_searched(preset, capsys):
    assert search("data=recording.h5", f"preset={preset}", "training.max_epochs=7", "--cfg", "job") == 0
    shown = capsys.readouterr().out
    for line in ("max_epochs: 7", "schedule: constant", "patience: null", "tensorboard: false"):
        assert line in shown


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["search.population=1"], "search.population is at least 2, got 1"),
        (["search.kind=grid"], "search.kind is one of pbt, random, got grid"),
        (["search.space=[{key: model.dropuot}]"], "did you mean model.dropout?"),
        (["search.space=[{kee: model.dropout}]"], "there is no 'kee' in its entries"),
        (["search.space=[{key: model.dropout, low: 1.5}]"], "low is at most high"),
        (["search.space=[{key: model.dropout, high: 1.9}]"], "dropout is in [0, 1)"),
        (["search.populaton=3"], "population"),
        (["training.patience=3"], "search.stop ends a search"),
        (["search.monitor=accuracy", SPACE], "search.monitor is one of loss"),
        (["predict=found"], "predict"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, sentence, recording, capsys):
    assert search(f"data={recording}", "out=found", *SMALL, *SEARCH, *arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert sentence in error
    assert "Traceback" not in error


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_sweep_runs_on_a_launcher_and_each_job_has_its_folder(launcher, recording):
    arguments = [f"data={recording}", "model=lds", "seed=0,1", "training.tensorboard=false", *SMALL]
    options = {"joblib": ["hydra.launcher.n_jobs=2"], "submitit_local": ["hydra.launcher.timeout_min=5"]}
    assert cli.COMMAND.invoke(["-m", f"hydra/launcher={launcher}", *options[launcher], *arguments]) == 0
    found = sorted(Path("outputs/ctd-models-torch").glob("*/inference.h5"))
    assert len(found) == 2
    seeds = set()
    for path in found:
        with cc.open(path) as file:
            seeds.add(file.provenance.seed)
            assert file.provenance.run == path.parent.name
    assert seeds == {0, 1}


def test_a_job_that_fails_tells_and_leaves_the_others_alone(recording, capfd):
    arguments = [f"data={recording}", "model=lds", "model.dropout=0,2", "training.tensorboard=false", *SMALL]
    assert cli.COMMAND.invoke(["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=1", *arguments]) != 0
    assert "dropout is in [0, 1), got 2.0" in capfd.readouterr().err
    assert len(list(Path("outputs/ctd-models-torch").glob("*/inference.h5"))) == 1
