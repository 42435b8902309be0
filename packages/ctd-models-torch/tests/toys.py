"""Small models, batches and shapes that tests share."""

from pathlib import Path

import numpy as np
import torch

import ctd_contract as cc
from ctd_contract.torch.random import generator
from ctd_models_torch.base import LatentModel
from ctd_models_torch.batch import Batch
from ctd_models_torch.build import build_model
from ctd_models_torch.config import (
    EncoderConfig,
    FitConfig,
    GrowthConfig,
    LinearReadoutConfig,
    ModelConfig,
    NODEConfig,
    ReadoutConfig,
)
from ctd_models_torch.fitting import fit
from ctd_models_torch.lfads.config import ControllerConfig, InitialEncoderConfig
from ctd_models_torch.multi_region.config import MessagesConfig, MRLFADSConfig
from ctd_models_torch.recording import Statistics
from ctd_models_torch.registry import MODELS
from ctd_models_torch.shape import Shape


def small_config(name: str) -> ModelConfig:
    if name in ("lfads", "band"):
        return MODELS[name](size=4, factors=3, initial_condition=3, encoder=InitialEncoderConfig(size=5))
    if name == "smoother":
        return MODELS[name](size=4)
    if name == "mr_lfads":
        return MRLFADSConfig(
            size=4,
            factors=3,
            initial_condition=2,
            encoder=InitialEncoderConfig(size=5, bins=3),
            controller=ControllerConfig(size=4, controls=1, encoder_size=3, lag=0, causal=True),
            messages=MessagesConfig(size=2),
        )
    config = MODELS[name](size=4, encoder=EncoderConfig(size=5))
    if isinstance(config, NODEConfig):
        config.hidden_size = 6
    return config


def shape_of(
    *, neurons: int = 6, held_out: int = 2, bins: int = 7, inputs: int = 2, signal="spikes"
) -> Shape:
    hidden = [index >= neurons - held_out for index in range(neurons)]
    name = "inputs" if inputs else None
    regions = [2 * index // neurons for index in range(neurons)]
    ids, seen = list(range(neurons)), list(range(bins))
    return Shape(signal, ids, hidden, seen, name, inputs, 0.01, regions, ["A", "B"], bins=bins, behavior=2)


def model_of(config: ModelConfig, shape: Shape, readout: ReadoutConfig | None = None) -> LatentModel:
    count = len(shape.neurons)
    behavior = np.full(shape.behavior, 0.3), np.full(shape.behavior, 2.0)
    statistics = Statistics(np.full(count, 0.7), np.full(count, 0.5), np.zeros(count), behavior)
    return build_model(config, readout or LinearReadoutConfig(), shape, statistics)


def batch_of(random, shape: Shape, *, trials: int = 5, bins: int = 7, lengths=None, observed=None) -> Batch:
    """A batch of counts and behaviour, some not measured; what lies in the padding is garbage."""
    tensors = {
        "data": torch.from_numpy(random.poisson(1.0, (trials, bins, len(shape.neurons))).astype(np.uint8)),
        "lengths": torch.full((trials,), bins) if lengths is None else torch.tensor(lengths),
        "rows": torch.arange(trials),
    }
    if shape.input_size:
        drive = random.standard_normal((trials, bins, shape.input_size)).astype(np.float32)
        tensors["inputs"] = torch.from_numpy(drive)
    if observed is not None:
        tensors["observed"] = torch.from_numpy(observed.astype(np.uint8))
    behavior = random.standard_normal((trials, bins, shape.behavior)).astype(np.float32)
    behavior[0, 0] = np.nan
    tensors["behavior"] = torch.from_numpy(behavior)
    return Batch.of(tensors)


def draw(name: str) -> torch.Generator:
    return generator(0, name)


def signals_of(path: Path) -> dict[str, np.ndarray]:
    with cc.open(path) as file:
        return {name: array[:] for name, array in file.signals.items()}


def digest_of(path: Path) -> str:
    with cc.open(path) as file:
        return file.digest


def fit_with_everything(recording, folder, *, seed: int = 0) -> None:
    """A small fit with all the state that a resume must carry; it goes on where one was begun."""
    config = small_config("gru")
    config.dropout = 0.1
    settings = FitConfig(
        max_epochs=6,
        batch_size=10,
        learning_rate=1e-2,
        accelerator="cpu",
        tensorboard=False,
        schedule="plateau",
        plateau_patience=0,
        plateau_factor=0.5,
        smoothing=0.5,
        growth=GrowthConfig(start_bins=5),
    )
    fit(recording, folder, model=config, training=settings, seed=seed, resume=Path(folder).exists())
