"""A laboratory's file, converted, predicted by a simple method and scored, by the commands alone."""

from __future__ import annotations

import csv
import subprocess
import sys

import numpy as np

SUITE = """
recordings:
  reach: ???
models:
  average:
    package: ctd-analysis
    command: baseline
    overrides: [model=condition_average, "model.width_s=[0.04,0.08]"]
analyses:
  default:
    overrides: [n_resamples=50, "condition_bins=[3,4]"]
"""


def run(folder, module, *arguments):
    line = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def test_from_a_file_of_trials_to_a_leaderboard(tmp_path):
    random = np.random.default_rng(0)
    targets = np.array([[1.0, 0.0], [0.0, 1.0]])[np.arange(160) % 2]
    rates = np.exp(
        0.5 + np.sin(np.arange(10) / 5)[:, None] * random.normal(0, 0.8, (2, 1, 9))[np.arange(160) % 2]
    )
    np.savez(tmp_path / "session.npz", counts=random.poisson(rates), goal=targets)
    (tmp_path / "reach.yaml").write_text(SUITE)
    options = (
        "--bin-width 0.02 --map spikes=counts --map condition=goal --held-out 3 --forward 2 --name reach"
    )
    run(tmp_path, "ctd_contract", "convert", "session.npz", "reach.h5", *options.split())
    run(tmp_path, "ctd_benchmark", "suite=reach.yaml", "data=reach.h5")
    with (tmp_path / "outputs/benchmark/reach/leaderboard.csv").open() as file:
        rows = {row["metric"]: row for row in csv.DictReader(file) if "published" not in row["definition"]}
    assert {row["model"] for row in rows.values()} == {"average"}
    assert all(float(rows[metric]["low"]) > 0.0 for metric in ("co_bps", "fp_bps", "bps"))
    assert float(rows["condition_accuracy"]["value"]) == 1.0
