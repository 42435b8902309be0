"""The whole fit of a model to recordings: data, training, the saved model, the inference files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ctd_contract.torch.batches import Batches
from ctd_contract.torch.training import FitResult
from ctd_contract.torch.training import fit as train
from ctd_models_torch import inference
from ctd_models_torch.build import build_sessions
from ctd_models_torch.config import (
    FitConfig,
    LinearReadoutConfig,
    ModelConfig,
    ReadoutConfig,
    RecordingConfig,
)
from ctd_models_torch.errors import InputError
from ctd_models_torch.recording import Recording
from ctd_models_torch.registry import name_of
from ctd_models_torch.saved import SavedModel, save_model
from ctd_models_torch.sessions.alignment_file import load_alignment
from ctd_models_torch.sessions.batches import BalancedBatches, SuccessiveBatches
from ctd_models_torch.sessions.recordings import open_recordings
from ctd_models_torch.sessions.results import file_names, write_index
from ctd_models_torch.shape import Shape
from ctd_models_torch.training import ModelTraining, check_config
from ctd_models_torch.validation import Validation

if TYPE_CHECKING:
    from ctd_contract.torch.training.figures import TrainingFigures


@dataclass(frozen=True)
class Fitted:
    """A finished fit.

    Attributes:
        saved: The model with the weights of the best check.
        training: How training went.
        paths: The inference file of each recording, in the order of the model's sessions.
    """

    saved: SavedModel
    training: FitResult
    paths: list[Path]

    @property
    def path(self) -> Path:
        """The inference file of a fit to one recording."""
        if len(self.paths) > 1:
            raise ValueError(f"the fit has {len(self.paths)} inference files: take one of paths")
        return self.paths[0]


def fit(
    recording: str | Path | Sequence[str | Path],
    folder: str | Path,
    *,
    model: ModelConfig,
    training: FitConfig,
    readout: ReadoutConfig | None = None,
    reading: RecordingConfig | None = None,
    alignment: str | Path | None = None,
    name: str | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    run: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> Fitted:
    """Fit a model to one or several recordings and infer all their trials.

    The folder gets ``metrics.csv``, ``checkpoints/``, ``model.safetensors`` and ``inference.h5``; of several
    recordings one ``inference_<name>.h5`` each, and the list ``sessions.json``.

    Args:
        recording: The recording's file, or those of several; training trials are trained on, validation
            trials choose the weights.
        folder: The run's folder.
        model: Settings of the model, say `GRUConfig()`.
        training: Settings of the training, say `FitConfig()`.
        readout: Settings of the readout; linear by default.
        reading: Which inputs drive the model, and how much memory the recording may take.
        alignment: File that ``ctd-models-torch align`` wrote of the recordings: read-ins start there.
        name: What the fit is called in tables and figures; by default the model's name.
        seed: Seed of everything random.
        resume: Continue an interrupted fit from its last checkpoint.
        overwrite: Replace existing inference files.
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
    paths = [recording] if isinstance(recording, str | Path) else recording
    described = dict(config) if config is not None else describe(model, readout, reading, training)
    with ExitStack() as stack:
        data = open_recordings(paths, reading, stack, behavior=model.predicts_behavior)
        module, shapes = prepare_all(data, model, readout, training, seed, alignment)
        figures = _figures(folder / "figures", training.figure_interval, data)
        trained = train(
            module,
            *batches_of(data, training, seed),
            folder=folder,
            config=training,
            seed=seed,
            resume=resume,
            label="fitting",
            callbacks=figures,
        )
        for callback in figures:
            callback.finish(module)
        saved = SavedModel(module.model, kind, shapes, described, seed)
        results = write_fit(
            folder,
            saved,
            model,
            readout,
            data,
            name=name,
            run=run,
            device=inference.device_of(training.accelerator),
            # An interrupted fit may have written some of the files.
            overwrite=overwrite or (resume and len(data) > 1),
        )
    return Fitted(saved, trained, results)


def _figures(folder: Path, interval: int | None, data: Sequence[Recording]) -> list[TrainingFigures]:
    """What draws in training; nothing without an interval."""
    if interval is None:
        return []
    # Only here: matplotlib takes half a second to import.
    from ctd_contract.torch.training.figures import TrainingFigures
    from ctd_models_torch.figures import draw_validation

    return [TrainingFigures(folder, interval, partial(draw_validation, data))]


def write_fit(
    folder: Path,
    saved: SavedModel,
    model: ModelConfig,
    readout: ReadoutConfig,
    data: Sequence[Recording],
    *,
    name: str | None,
    run: str | None,
    device: torch.device,
    overwrite: bool,
) -> list[Path]:
    """Write a fitted model and what it infers of its recordings.

    Args:
        folder: The run's folder.
        saved: The model.
        model: Its settings.
        readout: Of its readout.
        data: The recordings that it was fitted to.
        name: As in `fit`.
        run: As in `fit`.
        device: Where to infer.
        overwrite: Replace existing inference files.

    Returns:
        The inference file of each recording.
    """
    save_model(folder, saved, model, readout)
    results = [folder / file for file in file_names(data)]
    for index, (own, path) in enumerate(zip(data, results, strict=True)):
        inference.write(
            path,
            saved.model.one_session(index),
            own,
            model=saved.kind,
            name=name,
            config=saved.config,
            seed=saved.seed,
            run=run,
            device=device,
            overwrite=overwrite,
        )
    if len(data) > 1:
        write_index(folder, data)
    return results


def prepare(
    data: Recording, model: ModelConfig, readout: ReadoutConfig, training: FitConfig, seed: int
) -> tuple[ModelTraining, Shape]:
    """Make a model for a recording, ready to be trained; its readout starts at the mean rates."""
    module, (shape,) = prepare_all([data], model, readout, training, seed)
    return module, shape


def prepare_all(
    data: Sequence[Recording],
    model: ModelConfig,
    readout: ReadoutConfig,
    training: FitConfig,
    seed: int,
    alignment: str | Path | None = None,
) -> tuple[ModelTraining, list[Shape]]:
    """As `prepare`, for all recordings of a fit; for its alignment see `fit`."""
    shapes = [Shape.of(recording, model.window) for recording in data]
    statistics = [recording.statistics(recording.rows("train")) for recording in data]
    built = build_sessions(model, readout, shapes, statistics, seed=seed)
    built.start_from(data, None if alignment is None else load_alignment(alignment, data))
    return ModelTraining(built, training, [Validation.of(recording) for recording in data]), shapes


def batches_of(data: Sequence[Recording], training: FitConfig, seed: int) -> tuple[Batches, Batches]:
    """Batches to train on, in orders drawn from the seed, and those that checks score."""
    each = [recording.batches(recording.rows("valid"), inference.BATCH_SIZE) for recording in data]
    if len(data) == 1:
        rows = data[0].rows("train")
        if training.batch_size > len(rows):
            raise InputError(
                f"{data[0].file.path} has {len(rows)} training trials, fewer than "
                f"training.batch_size={training.batch_size}: take at most {len(rows)}"
            )
        return data[0].batches(rows, training.batch_size, shuffle=True, seed=seed), each[0]
    return BalancedBatches(data, training.batch_size, seed=seed), SuccessiveBatches(each)


def describe(
    model: ModelConfig, readout: ReadoutConfig, reading: RecordingConfig, training: FitConfig
) -> dict[str, Any]:
    """All settings as plain data, for provenance."""
    return {
        "model": {"name": name_of(model), **asdict(model)},
        "readout": {"name": name_of(readout), **asdict(readout)},
        "recording": asdict(reading),
        "training": asdict(training),
    }
