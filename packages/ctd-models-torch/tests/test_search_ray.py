"""The same search by workers of Ray; collected only where Ray is installed."""

import os
import signal
import sys

import pytest
import ray
import torch
from search_toys import run_search, small_training
from toys import digest_of

from ctd_contract.command import RunFailed
from ctd_models_torch.errors import InputError
from ctd_models_torch.search import ray_runner

FILES = ("members.csv", "checks.csv")
pytestmark = pytest.mark.ray
# One worker at a time: starting one is what takes long.
ON_RAY = {"runner": "ray", "ray_cpus": 2.0}


@pytest.fixture(scope="module")
def cluster():
    torch.set_num_threads(1)
    ray.init(include_dashboard=False, log_to_driver=False, num_cpus=2, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_nothing_changes(cluster, recording, tmp_path, monkeypatch):
    train, flag = ray_runner.train_remotely, tmp_path / "killed"

    def dying(task, member, until, threads):
        if until == 2 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return train(task, member, until, threads)

    monkeypatch.setattr(ray_runner, "train_remotely", dying)
    settings = {"training": small_training(max_epochs=2), "burn_in_epochs": 0}
    run_search(recording, tmp_path / "ray", **settings, **ON_RAY)
    assert flag.exists()
    run_search(recording, tmp_path / "here", **settings)
    for name in FILES:
        assert (tmp_path / "ray" / name).read_text() == (tmp_path / "here" / name).read_text()
    digests = {digest_of(tmp_path / where / "inference.h5") for where in ("ray", "here")}
    assert len(digests) == 1


@pytest.mark.slow
def test_workers_that_die_again_and_again_end_the_run_which_can_be_resumed(
    cluster, recording, tmp_path, monkeypatch
):
    train = ray_runner.train_remotely

    def dying(task, member, until, threads):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(ray_runner, "RETRIES", 0)
    monkeypatch.setattr(ray_runner, "train_remotely", dying)
    training = small_training(max_epochs=1)
    settings = {"training": training, "kind": "random", "population": 2}
    with pytest.raises(RunFailed, match="resume=true goes on"):
        run_search(recording, tmp_path, **settings, **ON_RAY)
    monkeypatch.setattr(ray_runner, "train_remotely", train)
    found = run_search(recording, tmp_path, resume=True, **settings, **ON_RAY)
    assert found.reason == "all epochs done"


def test_what_is_wrong_in_a_worker_is_said_as_here(cluster, recording, tmp_path):
    with pytest.raises(InputError, match=r"search\.monitor is one of loss"):
        run_search(recording, tmp_path, monitor="accuracy", **ON_RAY)


def test_an_address_where_nothing_answers_is_an_error(cluster, recording, tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(InputError, match=r"no Ray answers at search.ray_address=127\.0\.0\.1:9"):
        run_search(recording, tmp_path, ray_address="127.0.0.1:9", **ON_RAY)


def test_without_ray_the_extra_is_named(recording, tmp_path, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(ray_runner.importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"pip install 'ctd-models-torch\[ray\]'"):
        run_search(recording, tmp_path, **ON_RAY)


def test_a_folder_from_which_no_worker_starts_is_refused(recording, tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "tmp"))
    with pytest.raises(InputError, match="set the variable RAY_TMPDIR to a folder outside"):
        run_search(recording, tmp_path / "run", **ON_RAY)
