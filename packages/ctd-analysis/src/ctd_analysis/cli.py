"""The command `ctd-analysis`."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
from dataclasses import dataclass, field
from typing import NoReturn

from ctd_analysis.fixed_points.settings import FixedPointSearch, MatchSettings
from ctd_contract.command import Command, CommandConfig, Run, UserError, progress

BASELINE = "baseline"
"""The sub-command that writes reference predictions."""


@dataclass
class AnalysisCommandConfig(CommandConfig):
    """Settings of the command.

    Attributes:
        truth: The recording.
        inference: Inference files of it.
        task: Task file of the network behind the recording, for what the recording doesn't carry itself.
        split: The split that is scored: train, valid or test.
        n_resamples: Bootstrap resamples of the trials; 0 for no intervals.
        interval: Coverage of the intervals.
        n_examples: Trials kept to be drawn.
        condition_bins: Bins, counted from 1, from each of which the trial's condition is decoded.
        constant_input: Input under which fixed points are searched: resting or zero.
        search: Of fixed points.
        matching: Of fixed points.
        compare_to: Name of the model that is subtracted from the others, with intervals over the trials that
            both share; null for no differences.
    """

    truth: str = "???"
    inference: list[str] = "???"  # pyright: ignore[reportAssignmentType]  (OmegaConf's mark of the required)
    task: str | None = None
    split: str = "test"
    n_resamples: int = 1000
    interval: float = 0.95
    n_examples: int = 10
    condition_bins: list[int] = field(default_factory=list)
    constant_input: str = "resting"
    search: FixedPointSearch = field(default_factory=FixedPointSearch)
    matching: MatchSettings = field(default_factory=MatchSettings)
    compare_to: str | None = None


def run(config: AnalysisCommandConfig, run: Run) -> None:
    """Analyses, then writes the table, the report, and last the file that says the run is done."""
    import ctd_contract as cc
    from ctd_analysis.analyse import AnalysisConfig, analyse
    from ctd_analysis.analysis_file import write_analysis, write_table
    from ctd_analysis.report import write_report

    names = {f.name for f in dataclasses.fields(AnalysisConfig)}
    try:
        settings = AnalysisConfig(**{name: getattr(config, name) for name in names})
        with progress(1 + len(config.inference), "analysing") as bar:
            result = analyse(
                config.truth,
                config.inference,
                settings,
                task=config.task,
                advance=lambda label: bar.advance(last=label),
            )
    except cc.ContractError:
        raise
    except ValueError as error:
        raise UserError(str(error)) from error
    result = dataclasses.replace(result, command=_command(config))
    parents = []
    for role, path in _files(config):
        with cc.open(path) as file:
            parents.append(file.parent(role))
    write_table(result.metrics, run.folder / "metrics.csv")
    write_table(result.seeds, run.folder / "seeds.csv")
    if result.differences:
        write_table(result.differences, run.folder / "differences.csv")
    write_report(result, run.folder)
    write_analysis(
        result,
        run.result,
        parents=parents,
        config=run.config,
        seed=config.seed,
        run=run.id,
        overwrite=config.overwrite,
    )


def _files(config: AnalysisCommandConfig) -> list[tuple[str, str]]:
    task = [("task", config.task)] if config.task else []
    return [("recording", config.truth), *task, *(("inference", path) for path in config.inference)]


def _command(config: AnalysisCommandConfig) -> str:
    """The command line that repeats the analysis, with the settings that aren't the defaults."""
    files = f"truth={config.truth} inference=[{','.join(config.inference)}]"
    default = AnalysisCommandConfig()
    plain = (
        "task",
        "split",
        "n_resamples",
        "interval",
        "n_examples",
        "condition_bins",
        "constant_input",
        "compare_to",
        "seed",
    )
    changed = [(name, getattr(config, name), getattr(default, name)) for name in plain]
    for group in ("search", "matching"):
        before, now = getattr(default, group), getattr(config, group)
        changed += [
            (f"{group}.{f.name}", getattr(now, f.name), getattr(before, f.name))
            for f in dataclasses.fields(before)
        ]
    settings = [f"{name}={_shown(now)}" for name, now, before in changed if now != before]
    return " ".join(["ctd-analysis", files, *settings])


def _shown(value: object) -> str:
    """A value as it is typed: quoted for Hydra, then for the shell, where it is more than a word."""
    if isinstance(value, str) and not re.fullmatch(r"[\w./-]+", value):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return shlex.quote(f'"{escaped}"')
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    return "null" if value is None else str(value)


COMMAND = Command(
    name="ctd-analysis",
    config=AnalysisCommandConfig,
    run=run,
    result="analysis.h5",
    summary="compares the dynamics that models found with the true ones, and writes a report "
    "('ctd-analysis baseline --help': reference predictions to compare with)",
    example="ctd-analysis truth=recording.h5 inference=[gru.h5,lds.h5]",
    files=("truth", "inference", "task"),
)


def main() -> NoReturn:
    """Entry point of the command and of its sub-command."""
    arguments = sys.argv[1:]
    if arguments[:1] == [BASELINE]:
        from ctd_analysis.baseline_cli import COMMAND as BASELINE_COMMAND

        BASELINE_COMMAND.main(arguments[1:])
    COMMAND.main(arguments)
