"""The command ``ctd-models-torch``."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctd_contract.command import Command, CommandConfig
from ctd_contract.command.sessions import INDEX, RESULT, listed
from ctd_models_torch.config import (
    FitConfig,
    GRUConfig,
    GRUFitConfig,
    LinearReadoutConfig,
    ModelConfig,
    ReadoutConfig,
    RecordingConfig,
)
from ctd_models_torch.presets import PRESETS
from ctd_models_torch.registry import MODELS, READOUTS, TRAININGS
from ctd_models_torch.sessions.arguments import name_files

if TYPE_CHECKING:
    from ctd_contract.command import Run

ALIGN = "align"
"""The sub-command that brings recordings into one space."""
DERIVED = ("ablate", "sample", "silence")
"""The sub-commands that ask a fitted model for more than plain inference."""
SEARCH = "search"
"""The sub-command that searches hyperparameters."""


@dataclass
class ModelsConfig(CommandConfig):
    """Settings of the command.

    Attributes:
        data: The recording, or a list of several that are fitted together; also as a pattern, ``days/*.h5``.
        name: What the fit is called in tables and figures; by default the model's name.
        predict: Folder of a finished run, or its inference file: that run's model is applied to `data`, and
            nothing is trained.
        session: With `predict`, of a model of several recordings: which one's neurons `data` has; by default
            it is found by the neurons' ids and the recording's name.
        alignment: What `ctd-models-torch align` wrote of the recordings: the read-ins start there.
        model: The model.
        readout: Its readout.
        recording: How the recording is read.
        training: How the model is trained; by default as suits the model.
    """

    data: Any = "???"
    name: str | None = None
    predict: str | None = None
    session: str | None = None
    alignment: str | None = None
    model: ModelConfig = field(default_factory=GRUConfig)
    readout: ReadoutConfig = field(default_factory=LinearReadoutConfig)
    recording: RecordingConfig = field(default_factory=RecordingConfig)
    training: FitConfig = field(default_factory=GRUFitConfig)

    def __post_init__(self) -> None:
        paths = listed(self.data)
        if self.predict is not None and len(paths) > 1:
            raise ValueError(f"a prediction is of one recording, got {len(paths)} in data")
        if self.predict is not None and self.alignment is not None:
            raise ValueError("alignment is for a fit, and predict applies a fitted model: leave one out")
        if self.predict is None and self.session is not None:
            raise ValueError("session is for a fitted model: name its run with predict=FOLDER")


def run(config: ModelsConfig, job: Run) -> None:
    """Fit or predict, and write the inference file."""
    from ctd_models_torch.fitting import fit
    from ctd_models_torch.prediction import predict

    if config.predict is not None:
        predict(
            Path(config.predict).parent,
            listed(config.data)[0],
            job.result,
            session=config.session,
            memory_mb=config.recording.memory_mb,
            accelerator=config.training.accelerator,
            name=config.name,
            run=job.id,
            overwrite=config.overwrite,
        )
        return
    fit(
        listed(config.data),
        job.folder,
        model=config.model,
        readout=config.readout,
        reading=config.recording,
        training=config.training,
        alignment=config.alignment,
        name=config.name,
        seed=config.seed,
        resume=config.resume,
        overwrite=config.overwrite,
        run=job.id,
        config=job.config,
    )


def _result(config: ModelsConfig) -> str:
    """Name of the file that a run writes last."""
    return INDEX if len(listed(config.data)) > 1 else RESULT


COMMAND = Command(
    name="ctd-models-torch",
    config=ModelsConfig,
    run=run,
    result=_result,
    summary="fit a latent-dynamics model to a recording or several, or apply a fitted one (predict=FOLDER) "
    "('ctd-models-torch search --help': a search of hyperparameters; "
    "'ctd-models-torch align --help': a common space for several recordings to start in; "
    "'ctd-models-torch ablate --help', 'ctd-models-torch sample --help': more that a fitted LFADS tells; "
    "'ctd-models-torch silence --help': MR-LFADS without some connections).",
    example="ctd-models-torch model=gru data=recording.h5",
    groups={"model": MODELS, "readout": READOUTS, "training": TRAININGS},
    choices={"model": "gru", "readout": "linear", "training": "${model}"},
    files=("data", "predict", "alignment"),
    presets=PRESETS,
)


def main() -> None:
    """Run the command or its sub-command."""
    arguments = [name_files(argument) for argument in sys.argv[1:]]
    if arguments[:1] == [ALIGN]:
        from ctd_models_torch.sessions.align_cli import COMMAND as ALIGN_COMMAND

        ALIGN_COMMAND.main(arguments[1:])
    if arguments[:1] == [SEARCH]:
        from ctd_models_torch.search.cli import COMMAND as SEARCH_COMMAND
        from ctd_models_torch.search.cli import arguments_of

        SEARCH_COMMAND.main(arguments_of(arguments[1:]))
    if arguments and arguments[0] in DERIVED:
        from ctd_models_torch.derived.cli import COMMANDS

        COMMANDS[arguments[0]].main(arguments[1:])
    COMMAND.main(arguments)
