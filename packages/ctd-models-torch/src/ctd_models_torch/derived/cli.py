"""The sub-commands ``ablate``, ``sample`` and ``silence``: what else a fitted model tells of a recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ctd_contract.command import Command, CommandConfig, UserError
from ctd_contract.command.sessions import RESULT
from ctd_models_torch.config import RecordingConfig, require

if TYPE_CHECKING:
    from ctd_contract.command import Run
    from ctd_models_torch.derived.files import Source


@dataclass
class DerivedConfig(CommandConfig):
    """Settings of all of them.

    Attributes:
        run: Folder of a finished run, or its inference file.
        data: A recording of the same neurons.
        session: Of a model of several recordings: which one's neurons `data` has; by default it is found by
            the neurons' ids and the recording's name.
        name: What the result is called in tables and figures; by default it says what was done.
        memory_mb: Memory that the recording, and samples that are decoded at once, may take.
        accelerator: ``"auto"``, ``"cpu"`` or ``"gpu"``.
    """

    run: str = "???"
    data: str = "???"
    session: str | None = None
    name: str | None = None
    memory_mb: int = RecordingConfig.memory_mb
    accelerator: str = "auto"

    def __post_init__(self) -> None:
        known = ("auto", "cpu", "gpu")
        require(self.accelerator in known, f"accelerator is one of {', '.join(known)}", self.accelerator)


@dataclass
class AblateConfig(DerivedConfig):
    """Settings of ``ablate``.

    Attributes:
        keep: Bins, from 0, whose inferred inputs are kept; all others are set to zero.
    """

    keep: list[int] = field(default_factory=list)


@dataclass
class SampleConfig(DerivedConfig):
    """Settings of ``sample``; `seed` is that of the samples.

    Attributes:
        samples: Samples of each trial.
    """

    samples: int = 50


@dataclass
class SilenceCommandConfig(DerivedConfig):
    """Settings of ``silence``.

    Attributes:
        connections: ``SOURCE:TARGET`` by the regions' names, ``*`` for any.
        start: First bin, from 0, in which they are silent.
        stop: First bin in which they no longer are; None for the end.
    """

    connections: list[str] = field(default_factory=list)
    start: int = 0
    stop: int | None = None


def run_ablate(config: AblateConfig, job: Run) -> None:
    """Write what the model infers without inferred inputs."""
    from ctd_models_torch.derived.ablation import ablate

    ablate(_source(config, job), config.keep)


def run_sample(config: SampleConfig, job: Run) -> None:
    """Write mean and spread over posterior samples."""
    from ctd_models_torch.derived.sampling import SamplingConfig, sample

    settings = SamplingConfig(config.samples, config.seed, config.memory_mb)
    sample(_source(config, job), settings)


def run_silence(config: SilenceCommandConfig, job: Run) -> None:
    """Write what the model infers when connections are silent."""
    from ctd_models_torch.multi_region.config import SilenceConfig
    from ctd_models_torch.multi_region.silence import silence

    try:
        silence(_source(config, job), SilenceConfig(config.connections, config.start, config.stop))
    except ValueError as error:
        raise UserError(str(error)) from error


def _source(config: DerivedConfig, job: Run) -> Source:
    from ctd_models_torch.derived.files import Source

    return Source(
        Path(config.run).parent,
        config.data,
        job.result,
        session=config.session,
        name=config.name,
        memory_mb=config.memory_mb,
        accelerator=config.accelerator,
        run=job.id,
        overwrite=config.overwrite,
    )


def _command(config: type[DerivedConfig], run: Callable[..., None], summary: str, example: str) -> Command:
    return Command(
        name="ctd-models-torch",
        config=config,
        run=run,
        result=RESULT,
        summary=summary,
        example=f"ctd-models-torch {example}",
        files=("run", "data"),
    )


COMMANDS = {
    "ablate": _command(
        AblateConfig,
        run_ablate,
        "(ablate) writes what a fitted LFADS infers without its inferred inputs, or with those of the bins "
        "in keep alone",
        "ablate run=FOLDER data=recording.h5",
    ),
    "sample": _command(
        SampleConfig,
        run_sample,
        "(sample) writes what a fitted LFADS infers, mean and spread over samples of its posterior",
        "sample run=FOLDER data=recording.h5 samples=50",
    ),
    "silence": _command(
        SilenceCommandConfig,
        run_silence,
        "(silence) writes what a fitted MR-LFADS infers when connections between regions are silent, all the "
        "time or in the bins from start to stop",
        "silence run=FOLDER data=recording.h5 connections=[V1:V2]",
    ),
}
