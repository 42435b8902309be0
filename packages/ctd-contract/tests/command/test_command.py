"""The command layer: exit codes, sentences, run folders, progress."""

from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field, replace

import pytest

from ctd_contract.command import Command, CommandConfig, UserError, progress

SEEN = []


@dataclass
class Linear:
    size: int = 3


@dataclass
class Bump:
    width: float = 0.5


@dataclass
class Inner:
    rate: float | None = None
    said: str = "rate must not be 0"

    def __post_init__(self) -> None:
        if self.rate == 0:
            raise ValueError(self.said)


@dataclass
class Outer:
    inner: Inner = field(default_factory=Inner)


@dataclass
class Config(CommandConfig):
    count: int = "???"  # type: ignore[assignment]
    embedding: Linear | Bump = field(default_factory=Linear)
    inner: Inner = field(default_factory=Inner)
    outer: Outer = field(default_factory=Outer)
    failure: str = ""
    names: list[str] = field(default_factory=list)


def work(config, run):
    SEEN.append((config, run))
    if config.failure == "input":
        raise UserError("the input is bad")
    (run.folder / "checkpoint").write_text("half")
    if config.failure == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", "big.h5")
    if config.failure == "library":
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    if config.failure == "broken":
        raise RuntimeError("it broke")
    run.result.write_text(str(config.count))


COMMAND = Command(
    name="ctd-contract",
    config=Config,
    run=work,
    result="result.txt",
    summary="Counts.",
    example="ctd-contract count=1",
    groups={"embedding": {"linear": Linear, "bump": Bump}},
    choices={"embedding": "linear"},
    presets={"many": ["count=100", "embedding=bump"]},
)


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SEEN.clear()


def test_settings_arrive_as_the_dataclasses(tmp_path):
    assert COMMAND.invoke(["count=2", "embedding=bump", "embedding.width=2", "inner.rate=3", "out=o"]) == 0
    config, run = SEEN[0]
    assert config == Config(count=2, embedding=Bump(2.0), inner=Inner(3.0), out="o")
    assert run.config["embedding"] == {"name": "bump", "width": 2.0}
    assert "out" not in run.config
    assert (tmp_path / "o/result.txt").read_text() == "2"
    assert "width: 2.0" in (tmp_path / "o/config.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["coutn=1"], ["'coutn'", "'count'"]),
        (["count=1", "inner.rat=2"], ["'inner.rat'", "'inner.rate'"]),
        (["count=1", "embedding.width=2"], ["'embedding.width' is a setting of embedding=bump alone"]),
        (["count=1", "+rate=2"], ["no setting 'rate'"]),
        (["count=1", "+inner.rat=2"], ["'inner.rat'", "'inner.rate'"]),
        (["count=1", "++embedding.width=2"], ["'embedding.width' is a setting of embedding=bump alone"]),
        (["count=1", "~seed"], ["'seed' can't be left out"]),
        (["count=1,2"], ["'count=1,2' has several values", "-m"]),
        (["count=1", "names=a"], ["names takes a list", "names=[A]"]),
        (["count=1", "seed=-1"], ["seed must be at least 0, got -1"]),
        (["count=1", "threads=0"], ["threads must be at least 1, got 0"]),
        (["count=1", "embedding=bumb"], ["'bumb'", "'bump'"]),
        (["count=x"], ["count", "'x'"]),
        (["count=["], ["'count=['"]),
        (["count=1", "preset=mny"], ["'mny'", "'many'"]),
        ([], ["count is required", "ctd-contract count=1"]),
        (["count=1", "out=/dev/null/run"], ["can't make the folder /dev/null/run"]),
        (["count=1", "failure=input"], ["the input is bad"]),
        (["count=1", "inner.rate=0"], ["ctd-contract: inner.rate must not be 0"]),
        (["count=1", "outer.inner.rate=0"], ["ctd-contract: outer.inner.rate must not be 0"]),
        (["count=1", "outer.inner.rate=0", "outer.inner.said=no"], ["ctd-contract: outer.inner: no"]),
        (["count=1", "inner.rate=0", "inner.said=inner.rate?"], ["ctd-contract: inner.rate?"]),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, words, capsys, tmp_path):
    assert COMMAND.invoke(arguments) == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith("ctd-contract: ")
    assert len(err.splitlines()) == 1
    assert all(word in err for word in words)
    assert not list(tmp_path.glob("outputs/ctd-contract/*/run.json"))


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("broken", "RuntimeError: it broke"),
        ("disk", "disk is full (big.h5)"),
        ("library", "the disk is full: free"),
    ],
)
def test_a_failed_run_is_exit_code_1(failure, words, capsys):
    assert COMMAND.invoke(["count=1", f"failure={failure}"]) == 1
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err
    assert COMMAND.invoke(["count=1", f"failure={failure}", "resume=true", "debug=true"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_finished_run_is_left_alone(capsys):
    assert COMMAND.invoke(["count=1"]) == 0
    assert COMMAND.invoke(["count=1"]) == 0
    assert "already done" in capsys.readouterr().err
    assert len(SEEN) == 1
    assert COMMAND.invoke(["count=1", "overwrite=true"]) == 0
    assert len(SEEN) == 2


def test_a_finished_run_is_kept_until_the_one_that_overwrites_it_has_finished(tmp_path):
    result, previous = tmp_path / "o" / COMMAND.result, tmp_path / "o" / ".previous"
    assert COMMAND.invoke(["count=1", "out=o"]) == 0
    assert COMMAND.invoke(["count=2", "out=o", "overwrite=true", "failure=input"]) == 2
    assert result.read_text() == "1"
    assert not previous.exists()
    for _ in range(2):
        assert COMMAND.invoke(["count=2", "out=o", "overwrite=true", "failure=broken"]) == 1
        assert not result.exists()
        assert (previous / COMMAND.result).read_text() == "1"
    assert COMMAND.invoke(["count=2", "out=o", "overwrite=true"]) == 0
    assert result.read_text() == "2"
    assert not previous.exists()


def test_an_interrupted_run_needs_resume_or_overwrite(tmp_path, capsys):
    run = tmp_path / "o"
    assert COMMAND.invoke(["count=1", "out=o", "failure=broken"]) == 1
    assert COMMAND.invoke(["count=1", "out=o", "failure=broken"]) == 2
    assert "resume=true" in capsys.readouterr().err
    assert COMMAND.invoke(["count=1", "out=o"]) == 2
    assert "another configuration" in capsys.readouterr().err
    assert (run / "checkpoint").exists()
    (run / "stale").write_text("")
    assert COMMAND.invoke(["count=1", "out=o", "overwrite=true"]) == 0
    assert not (run / "stale").exists()


def test_a_foreign_result_is_never_overwritten_unasked(tmp_path, capsys):
    (tmp_path / "o").mkdir()
    (tmp_path / "o/result.txt").write_text("mine")
    assert COMMAND.invoke(["count=1", "out=o"]) == 2
    assert (tmp_path / "o/result.txt").read_text() == "mine"


def test_the_folder_is_a_hash_of_what_matters():
    for extra in ([], ["debug=true"], ["overwrite=true"]):
        assert COMMAND.invoke(["count=1", *extra]) == 0
    for extra in (["seed=1"], ["threads=1"], ["embedding=bump"], ["inner.rate=1"]):
        assert COMMAND.invoke(["count=1", *extra]) == 0
    assert len({run.id for _, run in SEEN}) == 5


def test_a_preset_stands_before_the_users_own_settings():
    assert COMMAND.invoke(["embedding=linear", "preset=many"]) == 0
    config, _ = SEEN[0]
    assert (config.count, config.embedding) == (100, Linear())


def test_a_sweep_runs_every_combination_and_reports_failures(capsys):
    assert COMMAND.invoke(["-m", "count=1,2", "failure='',input"]) == 2
    assert [(c.count, c.failure) for c, _ in SEEN] == [(1, ""), (1, "input"), (2, ""), (2, "input")]
    assert capsys.readouterr().err.count("the input is bad") == 2


def test_help_and_version(capsys):
    assert COMMAND.invoke(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(
        word in text
        for word in ("Counts.", "ctd-contract count=1", "embedding: linear, bump", "preset: many")
    )
    assert COMMAND.invoke(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ctd-contract 0.")


def test_two_processes_never_share_a_folder(tmp_path):
    script = textwrap.dedent("""
        import sys, time
        from dataclasses import dataclass
        from ctd_contract.command import Command, CommandConfig
        def work(config, run):
            print("started", flush=True)
            sys.stdin.readline()
            run.result.write_text("done")
        Command(name="ctd-contract", config=CommandConfig, run=work, result="r").main()
    """)
    (tmp_path / "c.py").write_text(script)
    start = [sys.executable, "c.py", "out=o"]
    first = subprocess.Popen(start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "started\n"
    second = subprocess.run(start, input="\n", capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert "another process is at work" in second.stderr
    first.communicate("\n")
    assert first.returncode == 0
    assert json.loads((tmp_path / "o/run.json").read_text())["id"]


def test_the_results_name_may_depend_on_the_settings(tmp_path):
    command = replace(COMMAND, result=lambda config: f"{config.count}.txt")
    for _ in range(2):
        assert command.invoke(["count=3", "out=o"]) == 0
    assert (tmp_path / "o/3.txt").read_text() == "3"
    assert len(SEEN) == 1, "a finished run is left alone"


def test_a_checkpoint_among_the_files_is_part_of_the_runs_identity(tmp_path, capsys):
    command = replace(COMMAND, files=("names",))
    arguments = ["count=1", "names=[start.safetensors]", "out=o"]
    assert command.invoke(arguments) == 2
    assert "there is no file start.safetensors" in capsys.readouterr().err
    (tmp_path / "start.safetensors").write_bytes(b"one")
    assert command.invoke(arguments) == 0
    (tmp_path / "start.safetensors").write_bytes(b"other")
    assert command.invoke(arguments) == 2
    assert "another configuration, input or version" in capsys.readouterr().err


def test_progress_counts_and_estimates(monkeypatch):
    stream, now = io.StringIO(), [0.0]
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with progress(100, "fitting") as bar:
        now[0] = 60.0
        bar.advance(20, loss=0.25)
    first, last = stream.getvalue().splitlines()
    assert first == last == "fitting 20/100, 3 s each, 4 min 00 s left, loss 0.25"
