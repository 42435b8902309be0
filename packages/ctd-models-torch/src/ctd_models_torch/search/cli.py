"""The command ``ctd-models-torch search``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ctd_contract.command import Command, CommandConfig, Run
from ctd_contract.command.sessions import INDEX, RESULT, listed
from ctd_models_torch.config import (
    FitConfig,
    LinearReadoutConfig,
    ModelConfig,
    ReadoutConfig,
    RecordingConfig,
)
from ctd_models_torch.lfads.config import LFADSConfig, LFADSFitConfig
from ctd_models_torch.presets import PRESETS
from ctd_models_torch.registry import MODELS, READOUTS, TRAININGS
from ctd_models_torch.search.config import SearchConfig

# What a search trains with unless it is told otherwise, also after a preset: the published way.
DEFAULTS = (
    "training.schedule=constant",
    "training.warmup=0",
    "training.smoothing=0.3",
    "training.patience=null",
    "training.target=null",
    "training.tensorboard=false",
    "training.figure_interval=null",
)


@dataclass
class SearchCommandConfig(CommandConfig):
    """Settings of the command; most are those of a fit.

    Attributes:
        data: The recording, or a list of several that are fitted together; also as a pattern, ``days/*.h5``.
        name: What the best fit is called in tables and figures; by default the model's name.
        alignment: What `ctd-models-torch align` wrote of the recordings: the read-ins start there.
        model: The model, into which hyperparameters are put.
        readout: Its readout, likewise.
        recording: How the recording is read.
        training: How members are trained, likewise.
        search: The search.
    """

    data: Any = "???"
    name: str | None = None
    alignment: str | None = None
    model: ModelConfig = field(default_factory=LFADSConfig)
    readout: ReadoutConfig = field(default_factory=LinearReadoutConfig)
    recording: RecordingConfig = field(default_factory=RecordingConfig)
    training: FitConfig = field(default_factory=LFADSFitConfig)
    search: SearchConfig = field(default_factory=SearchConfig)

    def __post_init__(self) -> None:
        listed(self.data)


def run(config: SearchCommandConfig, job: Run) -> None:
    """Search, and write the best member's inference file."""
    from ctd_models_torch.search.search import search

    found = search(
        listed(config.data),
        job.folder,
        model=config.model,
        readout=config.readout,
        reading=config.recording,
        training=config.training,
        settings=config.search,
        alignment=config.alignment,
        name=config.name,
        seed=config.seed,
        resume=config.resume,
        overwrite=config.overwrite,
        run=job.id,
        config=job.config,
    )
    best = found.best
    sentence = f"best valid {config.search.monitor} {best.member.score:.6g}, member {best.position}"
    print(f"{sentence} after {best.member.epoch} epochs; {found.reason}", file=sys.stderr)  # noqa: T201


def _result(config: SearchCommandConfig) -> str:
    return INDEX if len(listed(config.data)) > 1 else RESULT


COMMAND = Command(
    name="ctd-models-torch",
    config=SearchCommandConfig,
    run=run,
    result=_result,
    summary="(search) searches hyperparameters by population-based training or at random",
    example="ctd-models-torch search model=lfads data=recording.h5 search.population=8",
    groups={"model": MODELS, "readout": READOUTS, "training": TRAININGS},
    choices={"model": "lfads", "readout": "linear", "training": "${model}"},
    files=("data", "alignment"),
    presets=PRESETS,
)


def arguments_of(given: Sequence[str]) -> list[str]:
    """The user's arguments after the defaults of a search."""
    return [*DEFAULTS, *given]
