"""What a user gets who installs one package alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ctd_contract.testing as toys

ROOT = Path(__file__).parent.parent


def uv(*arguments, cwd=ROOT):
    return subprocess.run(
        ["uv", *map(str, arguments)],
        cwd=cwd,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.fixture(scope="session")
def analysis_alone(tmp_path_factory):
    """An environment into which only the wheels of ctd-analysis and ctd-contract were installed."""
    folder = tmp_path_factory.mktemp("alone")
    for package in ("ctd-contract", "ctd-analysis"):
        uv("build", "-q", "--wheel", "--package", package, "-o", folder / "wheels")
    uv("venv", "-q", "--python", sys.executable, folder / "env")
    python = folder / "env/bin/python"
    uv("pip", "install", "-q", "--python", python, *(folder / "wheels").glob("*.whl"), cwd=folder)
    return python


def test_analysis_brings_no_deep_learning_framework(analysis_alone):
    installed = {line.split("==")[0] for line in uv("pip", "freeze", "--python", analysis_alone).splitlines()}
    names = {name.split(" @ ")[0] for name in installed}
    assert {"ctd-analysis", "ctd-contract", "numpy"} <= names
    assert not names & {"torch", "jax", "jaxlib", "pytorch-lightning", "tensorflow"}


def test_its_command_works_on_contract_files(analysis_alone, tmp_path):
    toys.make_recording(tmp_path / "recording.h5", n_trials=60, n_time=30, n_neurons=8, n_states=3)
    toys.make_inference(tmp_path / "inference.h5", tmp_path / "recording.h5")
    command = analysis_alone.parent / "ctd-analysis"
    done = subprocess.run(
        [str(command), "truth=recording.h5", "inference=[inference.h5]", "out=analysis"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "analysis/analysis.h5").exists()
    assert (tmp_path / "analysis/report.html").stat().st_size > 100_000
