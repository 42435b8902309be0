"""Counts fits of LFADS that become non-finite, on random counts: none may.

python benchmarks/stability.py          # 100 seeds of 3 epochs at the size of MC_Maze, bins of 20 ms
python benchmarks/stability.py bursts   # 10 seeds of 30 epochs, two learning rates, 5 ms, bursts up to 20
python benchmarks/stability.py bursts 4 7   # of these the seeds 4, 5 and 6
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import ctd_contract as cc
from ctd_models_torch.cli import COMMAND

TRAIN, VALID = 512, 64


@dataclass(frozen=True)
class Case:
    """Fits of a preset to random counts.

    Attributes:
        preset: Of ctd-models-torch.
        bins: That are seen, and in all.
        neurons: Likewise.
        bin_width_s: Seconds.
        bursts: Largest count of a burst; 0 for none.
        epochs: Of each fit.
        seeds: Number of seeds, of counts and fit alike.
        rates: Learning rates.
        batch: Trials in a step.
    """

    preset: str
    bins: tuple[int, int]
    neurons: tuple[int, int]
    bin_width_s: float
    bursts: int
    epochs: int
    seeds: int
    rates: tuple[float, ...]
    batch: int


CASES = {
    "counts": Case("lfads_mc_maze", (35, 45), (137, 182), 0.02, 0, 3, 100, (4e-3,), 256),
    "bursts": Case("lfads_mc_maze_large", (140, 180), (122, 162), 0.005, 20, 30, 10, (4e-3, 1e-2), 256),
}


def write(path: Path, case: Case, seed: int) -> None:
    """Write a recording of independent counts, with bursts in one entry of a thousand."""
    random = np.random.default_rng(seed)
    shape = (TRAIN + VALID, case.bins[1], case.neurons[1])
    counts = random.poisson(random.gamma(2.0, 0.05, shape[2]), shape)
    if case.bursts:
        burst = random.random(shape) < 1e-3
        counts = np.where(burst, random.integers(1, case.bursts + 1, shape), counts)
    time = case.bin_width_s * np.arange(shape[1])
    with cc.create(
        path, "recording", name="random", trial=np.arange(shape[0]), time=time, bin_width_s=case.bin_width_s,
        axes={"neuron": shape[2]}, producer="benchmarks", config={}, seed=seed,
    ) as writer:  # fmt: skip
        writer.column("trials", "split", (np.arange(shape[0]) >= TRAIN).astype(np.int8))
        writer.column("neurons", "held_out", np.arange(shape[2]) >= case.neurons[0])
        writer.column("times", "forward", np.arange(shape[1]) >= case.bins[0])
        writer.signal("spikes", counts.astype(np.uint8))


def fit(folder: Path, case: Case, seed: int, rate: float) -> str:
    """Fit once; returns what it said if it failed."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = COMMAND.invoke(
            [
                f"data={folder / 'random.h5'}", f"out={folder / 'run'}", f"preset={case.preset}",
                f"seed={seed}", f"training.max_epochs={case.epochs}", f"training.learning_rate={rate}",
                "overwrite=true", f"training.batch_size={case.batch}", "training.tensorboard=false",
                "training.figure_interval=null",
            ]
        )  # fmt: skip
    return "" if code == 0 else said.getvalue()


def main(name: str = "counts", first: str = "0", end: str = "") -> dict:
    """Run a case, or its seeds from `first` up to `end`."""
    case, failed = CASES[name], []
    seeds = range(int(first), int(end or case.seeds))
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "random.h5", case, seed)
            for rate in case.rates:
                said = fit(Path(folder), case, seed, rate)
                if said:
                    failed.append({"seed": seed, "learning_rate": rate, "said": said[-300:]})
                print(f"seed {seed}, learning rate {rate}: {'failed' if said else 'finite'}", file=sys.stderr)
    return {"name": f"stability_{name}", "fits": len(seeds) * len(case.rates), "failed": failed}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
