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


def convert(folder, name, *, n_neurons=9, seed=0):
    """A recording of a laboratory's file: rates of two conditions that turn in time."""
    random = np.random.default_rng(seed)
    side = np.arange(160) % 2
    drive = random.normal(0, 0.8, (2, 1, n_neurons))[side]
    rates = np.exp(0.5 + np.sin(np.arange(10) / 5)[:, None] * drive)
    goal = np.array([[1.0, 0.0], [0.0, 1.0]])[side]
    np.savez(folder / "session.npz", counts=random.poisson(rates), goal=goal)
    options = "--bin-width 0.02 --map spikes=counts --map condition=goal --held-out 3 --forward 2"
    run(folder, "ctd_contract", "convert", "session.npz", f"{name}.h5", "--name", name, *options.split())


def leaderboard(folder, suite):
    with (folder / f"outputs/benchmark/{suite}/leaderboard.csv").open() as file:
        return [row for row in csv.DictReader(file) if "published" not in row["definition"]]


def test_from_a_file_of_trials_to_a_leaderboard(tmp_path):
    convert(tmp_path, "reach")
    (tmp_path / "reach.yaml").write_text(SUITE)
    run(tmp_path, "ctd_benchmark", "suite=reach.yaml", "data=reach.h5")
    rows = {row["metric"]: row for row in leaderboard(tmp_path, "reach")}
    assert {row["model"] for row in rows.values()} == {"average"}
    assert all(float(rows[metric]["low"]) > 0.0 for metric in ("co_bps", "fp_bps", "bps"))
    assert float(rows["condition_accuracy"]["value"]) == 1.0


JOINT = """
recordings:
  monday: ???
  tuesday: ???
models:
  both:
    joint: true
    overrides:
      - model=lfads
      - recording.inputs=null
      - model.size=16
      - model.factors=4
      - model.controller.size=0
      - model.kl.initial_condition=0.1
      - training.batch_size=32
      - training.max_epochs=20
      - training.learning_rate=1e-2
      - training.warmup=0
analyses:
  default:
    overrides: [n_resamples=50]
"""


def test_one_fit_of_two_recordings_is_scored_on_each(tmp_path):
    folder = tmp_path / "two day's"
    folder.mkdir()
    for seed, (name, n_neurons) in enumerate((("monday", 9), ("tuesday", 12))):
        convert(folder, name, n_neurons=n_neurons, seed=seed)
    (folder / "days.yaml").write_text(JOINT)
    run(folder, "ctd_benchmark", "suite=days.yaml", "data=[monday.h5,tuesday.h5]")
    bits = {row["dataset"]: row for row in leaderboard(folder, "days") if row["metric"] == "co_bps"}
    assert set(bits) == {"monday", "tuesday"}
    assert all(row["model"] == "both" and float(row["low"]) > 0.0 for row in bits.values())
