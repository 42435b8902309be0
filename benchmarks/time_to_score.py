"""Seconds of training until rate R² >= .90 on a flip-flop recording (200 bins, 400 trials).

Ours (model=gru, fast kernels) against the published recipe in the plain implementation: a
module call per bin in the decoder, torch's own bidirectional GRU as encoder. Looking at the rate R² is not
timed, the validation loss of both sides is. The slow side is given up after `--limit` seconds; the ratio is
then a lower bound. It takes some five minutes, so it is outside CI:

    python benchmarks/run.py time_to_score
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytorch_lightning as lightning
import torch

import ctd_contract as cc
from ctd_contract.torch.training import fit as train
from ctd_models_torch.config import (
    EncoderConfig,
    FitConfig,
    GRUConfig,
    GRUFitConfig,
    LinearReadoutConfig,
    RecordingConfig,
)
from ctd_models_torch.fitting import prepare
from ctd_models_torch.inference import infer
from ctd_models_torch.recording import Recording

TARGET = 0.9
TASK = (
    "task=flip_flop task.n_time=200 network=noisy_gru network.units=64 "
    "simulation.n_trials=400 simulation.train=0.7 simulation.valid=0.1"
)
# Few trials: small batches for more steps, and an encoder that reads only where the initial state shows.
OURS = (
    GRUConfig(encoder=EncoderConfig(window=30)),
    GRUFitConfig(max_epochs=70, batch_size=16, tensorboard=False, accelerator="cpu"),
)
PUBLISHED = (
    GRUConfig(128, EncoderConfig(100, standardize=False), dropout=0.05, coordinated_dropout=0.0, memory=0.0),
    FitConfig(
        max_epochs=100000,
        learning_rate=2e-3,
        batch_size=250,
        gradient_clip=0.01,
        schedule="constant",
        warmup=0.0,
        tensorboard=False,
        accelerator="cpu",
    ),
)


class PlainEncoder(torch.nn.Module):
    """Torch's own bidirectional GRU with the weights of ours."""

    def __init__(self, encoder) -> None:
        super().__init__()
        inputs = encoder.forward_weight_input.shape[1]
        self.gru = torch.nn.GRU(inputs, encoder.size, batch_first=True, bidirectional=True)
        with torch.no_grad():
            for side, suffix in (("forward", ""), ("backward", "_reverse")):
                for ours, theirs in zip(
                    ("weight_input", "weight_state", "bias_input", "bias_state"),
                    ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"),
                    strict=True,
                ):
                    getattr(self.gru, theirs + suffix).copy_(getattr(encoder, f"{side}_{ours}"))

    def forward(self, seen, lengths):
        del lengths  # all trials are whole
        return torch.cat(list(self.gru(seen)[1]), dim=1)


class StopTimingError(Exception):
    """The target is reached, or the time is up."""


class Clock(lightning.Callback):
    """Times training without scoring, and stops it at the target."""

    def __init__(self, data: Recording, every: int, limit: float) -> None:
        self.data, self.every, self.limit = data, every, limit
        self.truth = data.file.truth["rates"][:][data.file.split("test")]
        self.seconds, self.best, self.started = 0.0, -np.inf, 0.0

    def on_train_epoch_start(self, *_):
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer, pl_module):
        self.seconds += time.perf_counter() - self.started
        epoch = pl_module.current_epoch + 1
        last = epoch == trainer.max_epochs
        if epoch % self.every == 0 or last:
            rates = infer(pl_module.model, self.data)["rates"][self.data.file.split("test")]
            self.best = max(self.best, r_squared(rates, self.truth))
            print(f"  epoch {epoch}: {self.seconds:.0f} s, rate R² {self.best:.3f}", flush=True)
        if self.best >= TARGET or self.seconds > self.limit:
            raise StopTimingError


def r_squared(found, truth) -> float:
    """Variance-weighted R² over all bins and neurons."""
    found, truth = (values.reshape(-1, values.shape[-1]).astype(float) for values in (found, truth))
    return 1 - ((found - truth) ** 2).sum() / ((truth - truth.mean(0)) ** 2).sum()


def seconds_to_target(path, model, config, *, plain, every, limit):
    """Train until the target or the limit; give the seconds and the best score."""
    with cc.open(path) as file, tempfile.TemporaryDirectory() as folder:
        data = Recording(file, RecordingConfig())
        module, _ = prepare(data, model, LinearReadoutConfig(), config, 0)
        if plain:
            module.model.decoder.backend = "plain"
            module.model.encoder = PlainEncoder(module.model.encoder)
        clock = Clock(data, every, limit)
        batches = data.batches(data.rows("train"), config.batch_size, shuffle=True)
        checks = data.batches(data.rows("valid"), 64)
        with contextlib.suppress(StopTimingError):
            train(module, batches, checks, folder=folder, config=config, callbacks=[clock])
        return clock.seconds, clock.best


def recording(folder: Path) -> Path:
    """Train a network on the flip-flop and simulate its spikes, with the packages' own commands."""
    bin_folder = Path(sys.executable).parent
    task, spikes = folder / "task", folder / "recording"
    subprocess.run([bin_folder / "ctd-tasks", *TASK.split(), f"out={task}"], check=True)
    source = f"source={task / 'task.h5'}"
    subprocess.run([bin_folder / "ctd-sim", source, "preset=published", f"out={spikes}"], check=True)
    return spikes / "recording.h5"


def measure(*, limit: float = 150.0, threads: int = 2, data: Path | None = None) -> dict:
    """Time both sides on a fresh recording, or on the one given."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        path = data or recording(Path(folder))
        fast_s, fast = seconds_to_target(path, *OURS, plain=False, every=2, limit=limit)
        slow_s, slow = seconds_to_target(path, *PUBLISHED, plain=True, every=10, limit=limit)
    reached = {"fast_r2": float(fast), "slow_r2": float(slow), "slow_reached": bool(slow >= TARGET)}
    if fast < TARGET:
        raise RuntimeError(f"ours reached a rate R² of {fast:.3f} only, in {fast_s:.0f} s")
    return {"name": "time_to_score", "ratio": slow_s / fast_s, "fast_s": fast_s, "slow_s": slow_s, **reached}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--limit", type=float, default=150.0, help="seconds after which the slow side is given up"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, help="a recording to use instead of a fresh one")
    print(json.dumps(measure(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
