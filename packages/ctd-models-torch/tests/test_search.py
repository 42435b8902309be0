"""Whole searches: what they leave, that they can be killed, repeated and read."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
import torch
from search_toys import RANGES, run_search, small_training
from toys import digest_of

import ctd_contract as cc
from ctd_contract.torch.checkpoint import load_checkpoint
from ctd_contract.torch.training import NonFiniteLossError
from ctd_models_torch.errors import InputError
from ctd_models_torch.prediction import predict
from ctd_models_torch.saved import load_model
from ctd_models_torch.search import population as population_module
from ctd_models_torch.search.config import RangeConfig, StopConfig
from ctd_models_torch.search.plot import ancestors
from ctd_models_torch.search.trainee import Trainee

FILES = ("members.csv", "checks.csv", "search.json")
# A search in a process of its own; it dies of SIGKILL in the middle of the n-th step of all.
SCRIPT = """
import os, signal, sys
import torch
from search_toys import run_search
from ctd_models_torch.training import ModelTraining

torch.set_num_threads(1)
recording, folder, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
losses, steps = ModelTraining.losses, []

def dying(self, batch, draw):
    steps.append(None)
    if len(steps) == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return losses(self, batch, draw)

ModelTraining.losses = dying
run_search(recording, folder, resume=True)
"""


def run_script(recording, folder, *, die_in):
    environment = os.environ | {"PYTHONPATH": os.path.dirname(__file__), "OMP_NUM_THREADS": "1"}
    arguments = [str(recording), str(folder), str(die_in)]
    return subprocess.run([sys.executable, "-c", SCRIPT, *arguments], env=environment, capture_output=True)


def rows_of(folder, name="members.csv"):
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def outcome(folder):
    return [(folder / name).read_text() for name in FILES] + [digest_of(folder / "inference.h5")]


@pytest.fixture(scope="module")
def searched(recording, tmp_path_factory):
    """The folder of a finished search, and what it returned."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("search")
    return folder, run_search(recording, folder)


def test_the_tables_tell_the_whole_story(searched):
    folder, found = searched
    rows = rows_of(folder)
    assert [int(row["epoch"]) for row in rows] == [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4 + [5] * 4
    at = {(int(row["generation"]), int(row["member"])): row for row in rows}
    keys = [one.key for one in RANGES]
    for (generation, member), row in at.items():
        parent = int(row["parent"])
        if generation < 2:
            assert parent == member, "no tournament in the burn-in"
        if generation == 0:
            continue
        before = at[generation - 1, parent]
        factors = np.array([float(row[key]) / float(before[key]) for key in keys])
        if parent == member:
            assert (factors == 1).all(), "winners stay as they are"
        else:
            assert float(before["score"]) <= float(at[generation - 1, member]["score"])
            weights = np.array([one.weight for one in RANGES])
            assert (np.abs(factors - 1) <= weights).all()
            assert (factors != 1).all()
    losers = [sum(int(at[g, m]["parent"]) != m for m in range(4)) for g in range(5)]
    assert losers == [0, 0, 2, 2, 2]
    best = min(rows, key=lambda row: float(row["score"]))
    summary = json.loads((folder / "search.json").read_text())
    assert summary["best"]["score"] == float(best["score"]) == found.best.member.score
    assert [summary["best"]["generation"], summary["best"]["member"]] == [
        int(best["generation"]),
        int(best["member"]),
    ]
    assert summary["reason"] == found.reason == "all epochs done"
    checks = rows_of(folder, "checks.csv")
    assert len(checks) == 20
    assert {row["score"] for row in checks} >= {row["score"] for row in rows}


def test_scores_of_the_table_are_smoothed_ones(searched):
    folder, _ = searched
    at = {(int(row["generation"]), int(row["member"])): row for row in rows_of(folder)}
    for (generation, _), row in at.items():
        raw = float(row["valid/loss"])
        if generation == 0:
            assert float(row["score"]) == raw
        else:
            before = float(at[generation - 1, int(row["parent"])]["score"])
            assert float(row["score"]) == pytest.approx(0.3 * before + 0.7 * raw, rel=1e-12)


def test_the_best_member_is_a_fitted_run_like_any_other(searched, recording, tmp_path):
    folder, found = searched
    saved = load_model(folder)
    assert saved.model.config.dropout == found.best.member.values["model.dropout"]
    assert saved.config["search"]["space"][0]["key"] == "training.learning_rate"
    assert saved.config["training"]["learning_rate"] == found.best.member.values["training.learning_rate"]
    predict(folder, recording, tmp_path / "again.h5", accelerator="cpu")
    assert digest_of(tmp_path / "again.h5") == digest_of(found.paths[0])
    with cc.open(found.paths[0]) as file:
        rates = file.signals["rates"][:] * file.bin_width_s
        with cc.open(recording) as source:
            spikes = source.signals["spikes"][:].astype(float)
        valid = file.split("valid")
    nll = (rates - spikes * np.log(rates))[valid].mean()
    assert nll == pytest.approx(found.best.member.checks[-1].scores["loss"], rel=1e-5)


def test_nothing_of_it_is_pickled(searched):
    folder, _ = searched
    kinds = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert kinds == {".csv", ".json", ".png", ".h5", ".safetensors"}


def test_the_figure_shows_every_hyperparameter(searched):
    folder, _ = searched
    picture = matplotlib.image.imread(folder / "search.png")
    assert picture.shape[0] > 600
    assert picture.std() > 0.02


def test_ancestors_are_followed_through_the_tournaments():
    parent = [[0, 1, 2], [0, 0, 2], [1, 1, 2]]
    rows = [
        {"generation": g, "member": m, "parent": parents[m]}
        for g, parents in enumerate(parent)
        for m in range(3)
    ]
    assert ancestors(rows, (2, 0)) == {2: 0, 1: 1, 0: 0}
    assert ancestors(rows, (1, 2)) == {1: 2, 0: 2}


@pytest.mark.slow
def test_a_search_that_is_killed_in_a_step_ends_alike(searched, recording, tmp_path):
    """Killed in the burn-in, then again after a tournament; other processes, same files."""
    for die_in in (7, 15):
        assert run_script(recording, tmp_path, die_in=die_in).returncode == -9
        assert not (tmp_path / "inference.h5").exists()
    done = [
        load_checkpoint(path)["generation"] for path in (tmp_path / "population").glob("member_*.safetensors")
    ]
    assert max(done) == 2
    run_search(recording, tmp_path, resume=True)
    assert outcome(tmp_path) == outcome(searched[0])


class _Killed(BaseException):
    pass


def test_a_search_that_is_killed_at_a_checkpoint_ends_alike(searched, recording, tmp_path, monkeypatch):
    """Just after an even write, just before an odd one."""
    save = population_module.save_checkpoint
    for count in (2, 1, 4, 9):
        calls = []

        def dying(path, tree, calls=calls, count=count):
            calls.append(path)
            if len(calls) < count or count % 2 == 0:
                save(path, tree)
            if len(calls) == count:
                raise _Killed

        monkeypatch.setattr(population_module, "save_checkpoint", dying)
        with pytest.raises(_Killed):
            run_search(recording, tmp_path, resume=True)
    monkeypatch.setattr(population_module, "save_checkpoint", save)
    run_search(recording, tmp_path, resume=True)
    assert outcome(tmp_path) == outcome(searched[0])


def test_another_search_in_the_folder_is_not_continued(searched, recording):
    folder, _ = searched
    with pytest.raises(InputError, match="had another search"):
        run_search(recording, folder, resume=True, generation_epochs=2)
    with pytest.raises(InputError, match="had another training"):
        run_search(recording, folder, resume=True, training=small_training(batch_size=13))


def test_members_that_fail_lose_and_the_search_goes_on(searched, recording, tmp_path, monkeypatch):
    gradients = Trainee.gradients

    def failing(self, batch, step):
        gradients(self, batch, step)
        if self.member.seed in doomed and self.epoch == 1:
            self.failure = "the loss term 'reconstruction' is nan"

    doomed: set[int] = set()
    monkeypatch.setattr(Trainee, "gradients", failing)
    rows = rows_of(searched[0])
    doomed |= {int(rows[0]["seed"]), int(rows[2]["seed"])}
    found = run_search(recording, tmp_path / "some")
    assert found.reason == "all epochs done"
    at = {(int(row["generation"]), int(row["member"])): row for row in rows_of(tmp_path / "some")}
    assert "is nan" in at[1, 0]["failure"]
    assert at[1, 0]["score"] == "nan"
    assert all(not at[4, member]["failure"] for member in range(4)), "they are copies of winners by now"
    assert found.best.position is not None
    doomed |= {int(row["seed"]) for row in rows}
    for resume in (False, True):
        with pytest.raises(NonFiniteLossError, match="every member of the search has failed: the loss term"):
            run_search(recording, tmp_path / "all", resume=resume)


def test_a_random_search_keeps_first_values_and_may_search_sizes(recording, tmp_path):
    sizes = [*RANGES[:1], RangeConfig("model.size", 3, 9)]
    found = run_search(recording, tmp_path, kind="random", space=sizes, generation_epochs=2)
    rows = rows_of(tmp_path)
    assert all(row["parent"] == row["member"] for row in rows)
    for key in ("training.learning_rate", "model.size"):
        values = {(row["member"], row[key]) for row in rows}
        assert len(values) == 4
    saved = load_model(tmp_path)
    assert saved.model.config.size == found.best.member.values["model.size"]
    with pytest.raises(InputError, match=r"model\.size changes the shape of the model"):
        run_search(recording, tmp_path / "pbt", space=sizes)


def test_it_stops_when_nothing_is_gained(recording, tmp_path):
    found = run_search(recording, tmp_path, stop=StopConfig(generations=2, ratio=1.0))
    assert found.reason == "no gain in 2 generations"
    assert {row["epoch"] for row in rows_of(tmp_path)} == {"1", "2", "3"}


def test_another_score_may_decide(recording, tmp_path):
    changes = {"monitor": "co_bps", "mode": "max", "burn_in_epochs": 0}
    found = run_search(recording, tmp_path, training=small_training(max_epochs=2), **changes)
    assert found.best.member.score == max(float(row["score"]) for row in rows_of(tmp_path))
    with pytest.raises(InputError, match=r"search\.monitor is one of loss, bps, co_bps"):
        run_search(recording, tmp_path / "none", monitor="accuracy")


def test_batched_and_one_after_another_find_the_same(recording, tmp_path):
    training = small_training(precision="64-true", max_epochs=3)
    for name in ("false", "true"):
        run_search(recording, tmp_path / name, training=training, batched=name)
    one, other = (rows_of(tmp_path / name) for name in ("false", "true"))
    for left, right in zip(one, other, strict=True):
        assert left["parent"] == right["parent"]
        assert float(left["score"]) == pytest.approx(float(right["score"]), rel=1e-9)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"patience": 3}, "training.patience=3 is for single fits: set it to null"),
        ({"tensorboard": True}, "training.tensorboard=True is for single fits: set it to false"),
        ({"target": 0.1}, "search.stop ends a search"),
    ],
)
def test_stopping_rules_of_single_fits_are_refused(recording, tmp_path, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        run_search(recording, tmp_path, training=replace(small_training(), **changes))
