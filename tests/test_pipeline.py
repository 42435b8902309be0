"""The packages' real commands, composed: a suite small enough for a test, and what its files say."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

import ctd_contract as cc

SUITE = """
summary: One bit, a few seconds.
tasks:
  one_bit:
    overrides: [task=flip_flop, task.n_bits=1, task.n_time=30, network=noisy_gru, network.units=8,
                training.max_epochs=2, training.n_train=40, training.n_valid=20, training.tensorboard=false,
                simulation.n_trials=60]
simulators:
  small:
    overrides: [held_in=10, held_out=3]
models:
  torch_gru:
    overrides: [model=gru, model.size=8, model.encoder.size=8, training.max_epochs=2]
  torch_lds:
    overrides: [model=lds, model.size=4, model.encoder.size=8, training.max_epochs=2]
  jax_gru:
    package: ctd-models-jax
    overrides: [model=gru, model.units=8, model.encoder_units=8, training.epochs=2]
analyses:
  default:
    overrides: [n_resamples=50, search.n_starts=32]
"""


def command(package, *arguments, cwd):
    start = [sys.executable, "-m", package.replace("-", "_"), *map(str, arguments)]
    return subprocess.run(start, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def suite(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    (folder / "tiny.yaml").write_text(SUITE)
    done = command("ctd-benchmark", "suite=tiny.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def results(suite: Path, name: str) -> list[Path]:
    return sorted((suite / "outputs/benchmark/jobs").glob(f"*/{name}"))


def test_every_file_is_valid_to_the_last_byte(suite):
    files = [
        path
        for name in ("task", "recording", "inference", "analysis")
        for path in results(suite, f"{name}.h5")
    ]
    assert len(files) == 6
    for path in files:
        assert not [finding for finding in cc.validate(path, level="full") if finding.severity == "error"], (
            path
        )


def test_every_file_names_what_it_was_made_from(suite):
    (recording,) = results(suite, "recording.h5")
    with cc.open(recording) as truth:
        for path in results(suite, "inference.h5"):
            with cc.open(path) as inference:
                assert truth.digest in {parent.digest for parent in inference.provenance.parents}
        (task,) = truth.provenance.parents
    with cc.open(results(suite, "task.h5")[0]) as source:
        assert source.digest == task.digest


def test_the_leaderboard_has_every_model_from_both_frameworks(suite):
    with (suite / "outputs/benchmark/tiny/leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "dataset",
        "model",
        "seed",
        "split",
        "metric",
        "definition",
        "value",
        "low",
        "high",
    ]
    assert {row["model"] for row in rows} >= {"torch_gru", "torch_lds", "jax_gru"}
    scored = {row["metric"] for row in rows if row["model"] == "jax_gru"}
    assert {"rate_r2", "state_r2_true_to_inferred", "co_bps"} <= scored
    assert all(row["split"] == "test" for row in rows if row["metric"] == "rate_r2")
    report = suite / "outputs/benchmark/tiny/report.html"
    assert "torch_lds" in report.read_text()


def test_a_second_run_does_nothing(suite):
    before = {path: path.stat().st_mtime_ns for path in results(suite, "*.h5")}
    assert command("ctd-benchmark", "suite=tiny.yaml", cwd=suite).returncode == 0
    assert before == {path: path.stat().st_mtime_ns for path in results(suite, "*.h5")}


def test_an_inference_of_another_recording_is_refused(suite, tmp_path):
    (task,), inference = results(suite, "task.h5"), results(suite, "inference.h5")[0]
    assert (
        command("ctd-sim", f"source={task}", "seed=5", f"out={tmp_path}/other", cwd=tmp_path).returncode == 0
    )
    done = command("ctd-analysis", "truth=other/recording.h5", f"inference=[{inference}]", cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) <= 4
    assert "Traceback" not in done.stderr


def test_a_damaged_file_is_refused_by_every_command(suite, tmp_path):
    damaged = tmp_path / "damaged.h5"
    content = bytearray(results(suite, "recording.h5")[0].read_bytes())
    damaged.write_bytes(content[: len(content) // 2])
    for package, setting in [
        ("ctd-sim", "source"),
        ("ctd-models-torch", "data"),
        ("ctd-models-jax", "data"),
    ]:
        done = command(package, f"{setting}={damaged}", cwd=tmp_path)
        assert done.returncode == 2, (package, done.stderr)
        assert "damaged.h5" in done.stderr
