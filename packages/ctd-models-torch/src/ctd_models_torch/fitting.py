"""The whole fit of a model to a recording: data, training, the saved model, the inference file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

import ctd_contract as cc
from ctd_contract.torch.training import FitResult
from ctd_contract.torch.training import fit as train
from ctd_models_torch import inference
from ctd_models_torch.build import build_model
from ctd_models_torch.config import (
    FitConfig,
    LinearReadoutConfig,
    ModelConfig,
    ReadoutConfig,
    RecordingConfig,
)
from ctd_models_torch.recording import Recording
from ctd_models_torch.registry import name_of
from ctd_models_torch.saved import SavedModel, save_model
from ctd_models_torch.shape import Shape
from ctd_models_torch.training import ModelTraining, check_config
from ctd_models_torch.validation import Validation

RESULT = "inference.h5"


@dataclass(frozen=True)
class Fitted:
    """A finished fit.

    Attributes:
        saved: The model with the weights of the best check.
        training: How training went.
        path: The inference file.
    """

    saved: SavedModel
    training: FitResult
    path: Path


def fit(
    recording: str | Path,
    folder: str | Path,
    *,
    model: ModelConfig,
    training: FitConfig,
    readout: ReadoutConfig | None = None,
    reading: RecordingConfig | None = None,
    name: str | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    run: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> Fitted:
    """Fit a model to a recording and infer all its trials.

    The folder gets ``metrics.csv``, ``checkpoints/``, ``model.safetensors`` and ``inference.h5``.

    Args:
        recording: The recording's file; training trials are trained on, validation trials choose the weights.
        folder: The run's folder.
        model: Settings of the model, say `GRUConfig()`.
        training: Settings of the training, say `FitConfig()`.
        readout: Settings of the readout; linear by default.
        reading: Which inputs drive the model, and how much memory the recording may take.
        name: What the fit is called in tables and figures; by default the model's name.
        seed: Seed of everything random.
        resume: Continue an interrupted fit from its last checkpoint.
        overwrite: Replace an existing inference file.
        run: Id of the run, for provenance.
        config: What provenance says of the settings; by default all of these.

    Raises:
        InputError: The recording or a setting can't be used.
        NonFiniteLossError: A loss term became infinite or not a number; it is named, and the last good
            checkpoint is kept.

    Example:
        >>> fitted = fit("recording.h5", "run", model=GRUConfig(), training=FitConfig())  # doctest: +SKIP
    """
    folder = Path(folder)
    readout = readout or LinearReadoutConfig()
    reading = reading or RecordingConfig()
    check_config(training)
    training = replace(training, min_epochs=max(training.min_epochs, model.ramped_epochs))
    kind = name_of(model)
    with cc.open(recording) as file:
        data = Recording(file, reading, behavior=model.predicts_behavior)
        module, shape = prepare(data, model, readout, training, seed)
        trained = _train(module, data, folder, training, seed, resume)
        described = dict(config) if config is not None else _describe(kind, model, readout, reading, training)
        saved = SavedModel(module.model, kind, shape, described, seed)
        save_model(folder, saved, model, readout)
        inference.write(
            folder / RESULT,
            module.model,
            data,
            model=kind,
            name=name,
            config=described,
            seed=seed,
            run=run,
            device=device_of(training.accelerator),
            overwrite=overwrite,
        )
    return Fitted(saved, trained, folder / RESULT)


def prepare(
    data: Recording, model: ModelConfig, readout: ReadoutConfig, training: FitConfig, seed: int
) -> tuple[ModelTraining, Shape]:
    """Make a model for a recording, ready to be trained; its readout starts at the mean rates."""
    shape = Shape.of(data, model.window)
    built = build_model(model, readout, shape, data.statistics(data.rows("train")), seed=seed)
    return ModelTraining(built, training, Validation.of(data)), shape


def _train(
    module: ModelTraining, data: Recording, folder: Path, training: FitConfig, seed: int, resume: bool
) -> FitResult:
    batches = data.batches(data.rows("train"), training.batch_size, shuffle=True, seed=seed)
    checks = data.batches(data.rows("valid"), inference.BATCH_SIZE)
    return train(
        module, batches, checks, folder=folder, config=training, seed=seed, resume=resume, label="fitting"
    )


def _describe(kind: str, model: Any, readout: Any, reading: Any, training: Any) -> dict[str, Any]:
    return {
        "model": {"name": kind, **asdict(model)},
        "readout": {"name": name_of(readout), **asdict(readout)},
        "recording": asdict(reading),
        "training": asdict(training),
    }


def device_of(accelerator: str) -> torch.device:
    """Where inference runs, given where training did."""
    return torch.device("cuda" if accelerator in ("auto", "gpu") and torch.cuda.is_available() else "cpu")
