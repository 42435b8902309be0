"""The command `ctd-analysis baseline`: a reference prediction as an inference file."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctd_analysis.baselines.config import BASELINES, BaselineConfig, SmoothingConfig
from ctd_contract.command import Command, CommandConfig, Run, UserError


@dataclass
class BaselineCommandConfig(CommandConfig):
    """Settings of the command.

    Attributes:
        data: The recording.
        name: What the prediction is called in tables and figures; by default the method's name.
        model: The method, and the settings that the valid split chooses from.
    """

    data: str = "???"
    name: str | None = None
    model: BaselineConfig = field(default_factory=SmoothingConfig)


def run(config: BaselineCommandConfig, run: Run) -> None:
    """Predict every trial of the recording and write the inference file."""
    import ctd_contract as cc
    from ctd_analysis.baselines.predict import write_prediction

    with cc.open(config.data) as recording:
        try:
            write_prediction(
                run.result,
                recording,
                config.model,
                name=config.name,
                seed=config.seed,
                settings=run.config,
                run=run.id,
                overwrite=config.overwrite,
            )
        except cc.ContractError:
            raise
        except ValueError as error:
            raise UserError(str(error)) from error


COMMAND = Command(
    name="ctd-analysis",
    config=BaselineCommandConfig,
    run=run,
    result="inference.h5",
    summary="(baseline) writes what a simple, tuned method predicts of a recording's spikes",
    example="ctd-analysis baseline data=recording.h5 model=smoothing",
    groups={"model": BASELINES},
    choices={"model": "smoothing"},
    files=("data",),
)
