"""The command ``ctd-models-torch``."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ctd_contract.command import Command, CommandConfig, UserError
from ctd_models_torch.config import (
    FitConfig,
    GRUConfig,
    GRUFitConfig,
    LinearReadoutConfig,
    ModelConfig,
    ReadoutConfig,
    RecordingConfig,
)
from ctd_models_torch.errors import InputError
from ctd_models_torch.presets import PRESETS
from ctd_models_torch.registry import MODELS, READOUTS, TRAININGS

if TYPE_CHECKING:
    from ctd_contract.command import Run


@dataclass
class ModelsConfig(CommandConfig):
    """Settings of the command.

    Attributes:
        data: The recording.
        name: What the fit is called in tables and figures; by default the model's name.
        predict: Folder of a finished run, or its inference file: that run's model is applied to `data`, and
            nothing is trained.
        model: The model.
        readout: Its readout.
        recording: How the recording is read.
        training: How the model is trained; by default as suits the model.
    """

    data: str = "???"
    name: str | None = None
    predict: str | None = None
    model: ModelConfig = field(default_factory=GRUConfig)
    readout: ReadoutConfig = field(default_factory=LinearReadoutConfig)
    recording: RecordingConfig = field(default_factory=RecordingConfig)
    training: FitConfig = field(default_factory=GRUFitConfig)


def run(config: ModelsConfig, job: Run) -> None:
    """Fit or predict, and write the inference file."""
    from ctd_models_torch.fitting import fit
    from ctd_models_torch.prediction import predict

    try:
        if config.predict is not None:
            predict(
                Path(config.predict).parent,
                config.data,
                job.result,
                memory_mb=config.recording.memory_mb,
                accelerator=config.training.accelerator,
                run=job.id,
                overwrite=config.overwrite,
            )
            return
        fit(
            config.data,
            job.folder,
            model=config.model,
            readout=config.readout,
            reading=config.recording,
            training=config.training,
            name=config.name,
            seed=config.seed,
            resume=config.resume,
            overwrite=config.overwrite,
            run=job.id,
            config=job.config,
        )
    except InputError as error:
        raise UserError(str(error)) from error


COMMAND = Command(
    name="ctd-models-torch",
    config=ModelsConfig,
    run=run,
    result="inference.h5",
    summary="fit a latent-dynamics model to a recording, or apply a fitted one (predict=FOLDER).",
    example="ctd-models-torch model=gru data=recording.h5",
    groups={"model": MODELS, "readout": READOUTS, "training": TRAININGS},
    choices={"model": "gru", "readout": "linear", "training": "${model}"},
    files=("data", "predict"),
    presets=PRESETS,
)


def main() -> None:
    """Run the command."""
    COMMAND.main([name_result(argument) for argument in sys.argv[1:]])


def name_result(argument: str) -> str:
    """Name the file of a run's folder: its digest, not the folder's name, tells which model it is."""
    key, _, value = argument.partition("=")
    is_folder = key == "predict" and Path(value).suffix != ".h5"
    return f"predict={Path(value) / COMMAND.result}" if is_folder and value else argument
