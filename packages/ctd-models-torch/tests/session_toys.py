"""Toy recordings of one system through different neurons."""

from pathlib import Path

import numpy as np

import ctd_contract as cc
from ctd_contract.testing import make_recording
from ctd_models_torch.config import FitConfig
from ctd_models_torch.lfads.config import InitialEncoderConfig, KLConfig, LFADSConfig, RampConfig

SMALL = {"size": 5, "factors": 3, "initial_condition": 4, "encoder": InitialEncoderConfig(size=4)}
CONDITIONS, BINS, LATENTS = 4, 12, 3


def small_lfads(**settings) -> LFADSConfig:
    return LFADSConfig(**(SMALL | {"kl": KLConfig(ramp=RampConfig(0, 0))} | settings))


def quick_fit(**settings) -> FitConfig:
    return FitConfig(
        **({"max_epochs": 3, "batch_size": 10, "accelerator": "cpu", "tensorboard": False} | settings)
    )


def two_days(folder: Path, *, both=None, **changes) -> list[Path]:
    """Two recordings with 8 and 11 neurons, 40 and 25 trials of 15 bins, 2 of them forward, and 2 inputs.

    Options of both may be given, and changes of the second.
    """
    shape = {"n_time": 15, "n_forward": 2, "lengths": True} | (both or {})
    first = make_recording(folder / "monday.h5", **shape, n_trials=40, name="monday", seed=1)
    second = {"n_trials": 25, "n_neurons": 11, "n_held_out": 3, "name": "tuesday", "seed": 2}
    return [first, make_recording(folder / "tuesday.h5", **(shape | second | changes))]


def halves(folder: Path) -> list[Path]:
    """One system through 10 neurons in 60 trials, and through 10 others, 3 of each held out, in 60 others."""
    shape = {"n_trials": 120, "n_time": 20, "n_neurons": 20, "n_held_out": 6, "mean_rate_hz": 100.0}
    whole = make_recording(folder / "whole.h5", **shape, seed=1)
    paths = []
    with cc.open(whole) as file:
        split, ids = file.tables["trials"]["split"], file.axis("trial")
        for half, name in enumerate(("even", "odd")):
            rows, neurons = np.arange(half, 120, 2), np.arange(half, 20, 2)
            paths.append(folder / f"{name}.h5")
            with cc.create(
                paths[-1], "recording", name=name, trial=ids[rows], time=file.time, bin_width_s=0.01,
                axes={"neuron": file.axis("neuron")[neurons], "input": 2}, producer="test 0",
            ) as writer:  # fmt: skip
                writer.column("trials", "split", split[rows])
                writer.column("neurons", "held_out", file.held_out[neurons].astype(np.uint8))
                for signal, last in (("spikes", neurons), ("inputs", slice(None))):
                    writer.signal(signal, file.signals[signal][:][rows][..., last])
    return paths


def latents() -> np.ndarray:
    """(condition, bin, latent) of a spiral that starts somewhere else in each condition."""
    random = np.random.default_rng(5)
    turn = np.linalg.qr(random.standard_normal((LATENTS, LATENTS)))[0] * 0.95
    state = random.standard_normal((CONDITIONS, LATENTS))
    states = []
    for _ in range(BINS):
        state = state @ turn.T
        states.append(state)
    return np.stack(states, axis=1)


def write_day(path: Path, *, neurons: int, seed: int, trials: int = 20, conditions=None, **options) -> Path:
    """Activity that is a linear map of the latents of each trial's condition, with no noise at all.

    Of the conditions only those in ``conditions`` come up, under their names; options may give ``held_out``,
    ``noise``, ``name`` and ``observed`` (trial, time, neuron).
    """
    random = np.random.default_rng(seed)
    condition = np.resize(np.arange(CONDITIONS) if conditions is None else conditions, trials)
    weight, offset = random.standard_normal((LATENTS, neurons)), random.standard_normal(neurons)
    activity = latents()[condition] @ weight + offset
    activity += options.get("noise", 0.0) * random.standard_normal(activity.shape)
    held_out = np.arange(neurons) >= neurons - options.get("held_out", 0)
    split = np.resize([0, 0, 0, 0, 1], trials // CONDITIONS).repeat(CONDITIONS)
    with cc.create(
        path, "recording", name=options.get("name", path.stem), trial=trials,
        time=np.arange(BINS) * 0.01, bin_width_s=0.01, producer="test 0",
    ) as writer:  # fmt: skip
        writer.column("trials", "split", split.astype(np.uint8))
        writer.column("trials", "condition", condition.astype(np.int32))
        writer.names("condition", [f"target {index}" for index in range(CONDITIONS)])
        writer.column("neurons", "held_out", held_out.astype(np.uint8))
        if "observed" in options:
            activity = np.where(options["observed"], activity, np.nan)
            writer.signal("observed", options["observed"].astype(np.uint8))
        writer.signal("activity", activity.astype(np.float32), unit="dF/F")
    return path
