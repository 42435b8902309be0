"""The command `ctd-sim`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version

import ctd_contract as cc
from ctd_contract.command import Command, CommandConfig, Run, UserError, progress
from ctd_sim.embedding import EMBEDDINGS
from ctd_sim.observation import ObservationConfig
from ctd_sim.simulate import simulate
from ctd_sim.sources import Source, redraw_splits, task_source, trim
from ctd_sim.systems import SYSTEMS, RegionalConfig, SystemConfig, TaskConfig
from ctd_sim.target_rate import TARGET_RATES

SPLITS = ("source", "redraw")
FRACTIONS = [0.7, 0.1, 0.2]


@dataclass
class SimulationConfig(ObservationConfig, CommandConfig):
    """Settings of `ctd-sim`.

    Attributes:
        source: Task file whose states are observed; `source=double_well` is `system=double_well`.
        system: Where states come from: the task file, or a simulated system of several regions.
        name: Of the recording; by default the source's.
        trim_start: First bin kept.
        trim_stop: The bin after the last one kept; negative counts from the end, null keeps all.
        splits: "source" carries the source's splits over, "redraw" draws new ones.
        fractions: Of train, valid and test trials, for "redraw".
    """

    source: str | None = None
    system: SystemConfig = field(default_factory=TaskConfig)
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
    "emission=counts",
)


# Of the systems of several regions: a quarter of each region's neurons held out.
REGIONS = ("held_in=36", "held_out=12", "embedding=linear", "standardise=neuron")
# The mean of a neuron lies between .3 and 2 spikes per bin of 0.01 s.
COUNTS_OF_REGIONS = (*REGIONS, "nonlinearity=softplus", "factor=0.5", "target_rate=loguniform")
# A three-region network small and noisy enough for its messages to be found from its states at all.
SMALL_NETWORK = ("system.units=10", "system.share=0.3", "system.amplitude=0.3", "system.noise=3.0")
# A double well whose messages can be told from what each region does by itself.
SPREAD_START = ("system.start_std=0.2",)
GAUSSIAN_OF_REGIONS = (*REGIONS, "factor=1", "emission=gaussian")


def run(config: SimulationConfig, run: Run) -> None:
    """Simulate one recording."""
    with ExitStack() as stack:
        try:
            source = _source(config, stack)
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


def _source(config: SimulationConfig, stack: ExitStack) -> Source:
    """The trials that the settings name; a task file stays open as long as `stack` does."""
    if config.splits not in SPLITS:
        raise UserError(f"splits must be one of {', '.join(SPLITS)}, got {config.splits!r}")
    source = trim(_states(config, stack), config.trim_start, config.trim_stop)
    if config.splits == "source" and config.fractions != FRACTIONS:
        raise UserError("fractions are of trials drawn anew: add splits=redraw")
    return redraw_splits(source, config.fractions, seed=config.seed) if config.splits == "redraw" else source


def _states(config: SimulationConfig, stack: ExitStack) -> Source:
    if isinstance(config.system, RegionalConfig):
        if config.source is not None:
            raise UserError(f"source={config.source} and a simulated system are two sources: leave one out")
        return config.system.source(config.seed)
    if config.source is None:
        raise UserError(f"source is required; for example: {COMMAND.example}")
    return task_source(stack.enter_context(cc.open(config.source)))


def named_systems(arguments: Sequence[str]) -> list[str]:
    """The same arguments with `source=SYSTEM`, one or several separated by commas, as `system=SYSTEM`."""
    return [
        f"system={argument[7:]}"
        if argument.startswith("source=") and set(argument[7:].split(",")) <= SYSTEMS.keys() - {"task"}
        else argument
        for argument in arguments
    ]


COMMAND = Command(
    name="ctd-sim",
    config=SimulationConfig,
    run=run,
    result="recording.h5",
    summary="Simulate a recording from the states of a task file, or of a system of several regions.",
    example="ctd-sim source=task.h5 seed=1",
    groups={"system": SYSTEMS, "embedding": EMBEDDINGS, "target_rate": TARGET_RATES},
    choices={"system": "task", "embedding": "permuted", "target_rate": "none"},
    files=("source",),
    presets={
        "published": PUBLISHED,
        "regions_counts": COUNTS_OF_REGIONS,
        "regions_gaussian": GAUSSIAN_OF_REGIONS,
        "small_network": SMALL_NETWORK,
        "spread_start": SPREAD_START,
    },
)


def main() -> None:
    """Entry point."""
    COMMAND.main(named_systems(sys.argv[1:]))
