"""The command `ctd-sim`."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version

import ctd_contract as cc
from ctd_contract.command import Command, CommandConfig, Run, UserError, progress
from ctd_sim.embedding import EMBEDDINGS
from ctd_sim.observation import ObservationConfig
from ctd_sim.simulate import simulate
from ctd_sim.sources import Source, redraw_splits, task_source, trim
from ctd_sim.target_rate import TARGET_RATES

SPLITS = ("source", "redraw")
FRACTIONS = [0.7, 0.1, 0.2]


@dataclass
class SimulationConfig(ObservationConfig, CommandConfig):
    """Settings of `ctd-sim`.

    Attributes:
        source: Task file whose states are observed.
        name: Of the recording; by default the source's.
        trim_start: First bin kept.
        trim_stop: The bin after the last one kept; negative counts from the end, null keeps all.
        splits: "source" carries the source's splits over, "redraw" draws new ones.
        fractions: Of train, valid and test trials, for "redraw".
    """

    source: str = "???"
    name: str | None = None
    trim_start: int = 0
    trim_stop: int | None = None
    splits: str = "source"
    fractions: list[float] = field(default_factory=FRACTIONS.copy)


# The published simulator, spelt out, so that it stays what it is whatever the defaults become.
PUBLISHED = (
    "held_in=50",
    "held_out=10",
    "embedding=permuted",
    "standardise=global",
    "factor=2.0",
    "nonlinearity=exp",
    "gain_hz=null",
    "target_rate=none",
    "fano=1.0",
)


def run(config: SimulationConfig, run: Run) -> None:
    """Simulate one recording."""
    with cc.open(config.source) as file:
        try:
            source = _source(file, config)
            with progress(len(source.trial), "trials") as bar:
                simulate(
                    source,
                    run.result,
                    config,
                    seed=config.seed,
                    on_progress=bar.advance,
                    name=config.name or source.name,
                    producer=f"ctd-sim {version('ctd-sim')}",
                    config=run.config,
                    run=run.id,
                    overwrite=config.overwrite,
                )
        except cc.ContractError:
            raise
        except ValueError as error:
            raise UserError(str(error)) from error


def _source(file: cc.ContractFile, config: SimulationConfig) -> Source:
    if config.splits not in SPLITS:
        raise UserError(f"splits must be one of {', '.join(SPLITS)}, got {config.splits!r}")
    source = trim(task_source(file), config.trim_start, config.trim_stop)
    if config.splits == "source" and config.fractions != FRACTIONS:
        raise UserError("fractions are of trials drawn anew: add splits=redraw")
    return redraw_splits(source, config.fractions, seed=config.seed) if config.splits == "redraw" else source


COMMAND = Command(
    name="ctd-sim",
    config=SimulationConfig,
    run=run,
    result="recording.h5",
    summary="Simulate a recording of spikes from the states of a task file.",
    example="ctd-sim source=task.h5 seed=1",
    groups={"embedding": EMBEDDINGS, "target_rate": TARGET_RATES},
    choices={"embedding": "permuted", "target_rate": "none"},
    files=("source",),
    presets={"published": PUBLISHED},
)


def main() -> None:
    """Entry point."""
    COMMAND.main()
