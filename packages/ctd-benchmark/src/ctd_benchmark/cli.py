"""The command `ctd-benchmark`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ctd_benchmark.cost import wall_seconds
from ctd_benchmark.leaderboard import read_rows, write_leaderboard
from ctd_benchmark.plan import plan
from ctd_benchmark.progress_line import ProgressLine, duration
from ctd_benchmark.runner import Outcome, Runner
from ctd_benchmark.store import Store
from ctd_benchmark.suite import load_suite
from ctd_contract.command import Command, CommandConfig, Run, RunFailed, UserError
from ctd_contract.command.run import make_folder

FOLDER = "outputs/benchmark"


@dataclass
class InterpretersConfig:
    """Paths of Pythons, null for this one: torch and JAX may live in environments of their own."""

    ctd_tasks: str | None = None
    ctd_sim: str | None = None
    ctd_models_torch: str | None = None
    ctd_models_jax: str | None = None
    ctd_analysis: str | None = None

    def chosen(self) -> dict[str, str]:
        """Package to Python, for those that have one."""
        return {name.replace("_", "-"): path for name, path in asdict(self).items() if path is not None}


@dataclass
class BenchmarkConfig(CommandConfig):
    """Settings of `ctd-benchmark`.

    Attributes:
        out: Folder of all suites; by default outputs/benchmark.
        seed: Added to every seed of the suite: another one repeats all of it afresh.
        resume: Let interrupted jobs continue; false starts them again.
        overwrite: Run everything again, what is done included.
        threads: CPU threads of all jobs that run at once; 0 takes every core.
        suite: A suite that comes with the package, or the path of a .yaml file.
        data: The recording of a suite that leaves its path open, or a list of several in the suite's order.
        models: Only these models of the suite.
        seeds: These seeds of every model instead of the suite's.
        dry_run: Print the plan and its cost, run nothing.
        interpreters: The Python that each package is installed for, where it isn't this one.
    """

    resume: bool = True
    threads: int = 0
    suite: str = "quickstart"
    data: Any = None
    models: list[str] | None = None
    seeds: list[int] | None = None
    dry_run: bool = False
    interpreters: InterpretersConfig = field(default_factory=InterpretersConfig)

    def paths(self) -> list[str]:
        """The recordings that `data` names.

        Raises:
            ValueError: It is something else than a path or a list of paths.
        """
        paths = self.data if isinstance(self.data, list) else [] if self.data is None else [self.data]
        if not all(isinstance(path, str) for path in paths):
            raise ValueError(f"data is a file or a list of files, data=[a.h5,b.h5], got {self.data}")
        return paths


def run(config: BenchmarkConfig, run: Run) -> None:
    """Run a suite, or print its plan."""
    del run  # the jobs have folders of their own
    root = Path(config.out or FOLDER)
    name = Path(config.suite).stem
    try:
        suite = load_suite(config.suite).on(config.paths())
        suite = suite.chosen(models=config.models, seeds=config.seeds, offset=config.seed)
        runner = Runner(
            plan(suite),
            Store(root / "jobs"),
            interpreters=config.interpreters.chosen(),
            cores=config.threads,
            resume=config.resume,
            overwrite=config.overwrite,
            line=ProgressLine(name),
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    if config.dry_run:
        print(describe(runner))  # noqa: T201
        return
    make_folder(root)
    finish(name, runner, runner.run(), root / name)


def describe(runner: Runner) -> str:
    """The plan: each job, whether it is done, how long it takes and what it runs."""
    seconds = runner.seconds()
    lines, left = [], []
    for label, job in runner.jobs.items():
        done = runner.is_done(label)
        left += [] if done else [job]
        state = (
            "done" if done else f"{duration(seconds[label])} on {job.threads} thread{'s' * (job.threads > 1)}"
        )
        lines += [f"{label}: {state}", f"    {shlex.join(runner.command(label))}"]
    work = sum(seconds[job.label] * job.threads for job in left)
    wall = wall_seconds(left, seconds, runner.cores)
    lines.append(
        f"{len(left)} of {len(runner.jobs)} jobs to run: {duration(work)} of one core, "
        f"about {duration(wall)} on {runner.cores}"
    )
    return "\n".join(lines)


def finish(name: str, runner: Runner, outcome: Outcome, folder: Path) -> None:
    """Write the leaderboard of whatever was analysed, and say how it went.

    Raises:
        RunFailed: Some jobs failed.
    """
    analyses = {
        label.removeprefix("analysis "): path
        for label, path in outcome.results.items()
        if runner.jobs[label].stage == "analyses"
    }
    rows = [row for path in analyses.values() for row in read_rows(path)]
    if analyses:
        reports = {label: path.with_name("report.html") for label, path in analyses.items()}
        write_leaderboard(folder, rows, reports, title=f"Benchmark {name}")
        _say(f"report: {folder / 'report.html'}, leaderboard: {folder / 'leaderboard.csv'}")
    else:
        # An older leaderboard would pass for this one's.
        for stale in ("report.html", "leaderboard.csv", "leaderboard.md"):
            (folder / stale).unlink(missing_ok=True)
    if outcome.failed:
        raise RunFailed(
            f"{len(outcome.failed)} of {len(runner.jobs)} jobs failed or were skipped: "
            f"{', '.join(outcome.failed)}"
        )
    ran = len(outcome.ran)
    _say(
        f"{name}: {ran} of {len(runner.jobs)} jobs run"
        if ran
        else f"{name}: nothing to do, all results are there"
    )


def _say(sentence: str) -> None:
    print(f"ctd-benchmark: {sentence}", file=sys.stderr)  # noqa: T201


COMMAND = Command(
    name="ctd-benchmark",
    config=BenchmarkConfig,
    run=run,
    result="report.html",
    summary="Run a suite: tasks, spikes, models, their comparison.",
    example="ctd-benchmark suite=quickstart",
    claims=False,
)


def main() -> None:
    """Entry point."""
    COMMAND.main()
