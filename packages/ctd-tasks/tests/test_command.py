"""The command: the same result in two processes, after a kill, and clear errors."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import ctd_contract as cc
from ctd_tasks.cli import COMMAND

TINY = [
    "task.n_bits=2",
    "task.n_time=30",
    "network=gru",
    "network.units=6",
    "training.max_epochs=6",
    "training.check_interval=1",
    "training.n_train=40",
    "training.n_valid=20",
    "training.figure_interval=3",
    "training.accelerator=cpu",
    "simulation.n_trials=30",
    "threads=1",
]


def digest(folder):
    with cc.open(folder / "task.h5") as file:
        return file.digest


def start(folder, *more):
    command = [sys.executable, "-m", "ctd_tasks", *TINY, f"out={folder}", *more]
    return subprocess.Popen(command, cwd=folder.parent, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_seed_decides_on_the_digest_in_any_process_and_after_a_kill(tmp_path):
    here, there, other, killed = (tmp_path / name for name in ("here", "there", "other", "killed"))
    process = start(there)
    victim = start(killed, "training.max_epochs=6")
    checkpoint = killed / "checkpoints" / "last.safetensors"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and victim.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(victim.pid, signal.SIGKILL)
    victim.communicate()
    assert checkpoint.exists()
    assert not (killed / "task.h5").exists()

    assert COMMAND.invoke([*TINY, f"out={here}"]) == 0
    assert COMMAND.invoke([*TINY, f"out={other}", "seed=1"]) == 0
    assert COMMAND.invoke([*TINY, f"out={killed}", "resume=true"]) == 0
    assert process.communicate()[1].rstrip().endswith("task.h5")
    assert process.returncode == 0
    assert digest(here) == digest(there) == digest(killed)
    assert digest(other) != digest(here)


def test_a_run_leaves_everything_in_its_folder(tmp_path, capsys):
    folder = tmp_path / "run"
    arguments = [*TINY, f"out={folder}"]
    assert COMMAND.invoke(arguments) == 0
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    expected = {"task.h5", "config.yaml", "metrics.csv", "summary.json", "checkpoints/best.safetensors"}
    expected |= {"figures/trials.png", "figures/state_space.png", "figures/training/epoch_00003_trials.png"}
    assert expected < names
    assert any(name.startswith("tensorboard/events") for name in names)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["epochs"] == 6
    with cc.open(folder / "task.h5") as file:
        assert file.provenance.config["network"] == {"name": "gru", **file.provenance.config["network"]}
        assert file.provenance.config["task"]["n_bits"] == 2
        assert file.sizes["state"] == 6
    written = (folder / "task.h5").stat().st_mtime_ns
    assert COMMAND.invoke(arguments) == 0
    assert "already done" in capsys.readouterr().err
    assert (folder / "task.h5").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["task.n_bit=2"], "did you mean 'task.n_bits'"),
        (["network.unit=2"], "did you mean 'network.units'"),
        (["network=nosy_gru"], "did you mean 'noisy_gru'"),
        (["task=flipflop"], "did you mean 'flip_flop'"),
        (["task.n_bits=many"], "task.n_bits"),
        (["task.n_bits=0"], "n_bits must be at least 1, got 0"),
        (["network.noise_std=-1"], "noise_std must not be negative"),
        (["training.n_train=0"], "n_train is at least 1, got 0"),
        (["simulation.train=0.95"], "sum of at most 1"),
        (["preset=publish"], "publish"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, words, tmp_path, capsys):
    assert COMMAND.invoke([*TINY, f"out={tmp_path / 'run'}", *arguments]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert len(message.strip().splitlines()) == 1
    assert "Traceback" not in message


def test_help_and_version(capsys):
    assert COMMAND.invoke(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ctd-tasks 0.")
    assert COMMAND.invoke(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "network: vanilla_rnn, leaky_rnn, gru, noisy_gru, noisy_gru_l2, node" in shown
    assert COMMAND.example in shown


def test_importing_the_package_is_light():
    code = "import sys, ctd_tasks, ctd_tasks.networks; print([m for m in sys.modules if '.' not in m])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("torch", "hydra", "matplotlib", "pytorch_lightning", "wandb"):
        assert f"'{heavy}'" not in loaded


def test_the_command_shows_its_help_without_torch():
    code = "import sys, ctd_tasks.cli as c; c.COMMAND.invoke(['--help']); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
