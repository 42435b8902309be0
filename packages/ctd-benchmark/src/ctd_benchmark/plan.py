"""A suite as jobs that depend on each other."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ctd_benchmark.recording import Recording
from ctd_benchmark.suite import STAGES, Entry, Suite

RESULTS = {
    "tasks": "task.h5",
    "simulators": "recording.h5",
    "models": "inference.h5",
    "joint": "sessions.json",
    "predictions": "inference.h5",
    "analyses": "analysis.h5",
}
PREDICTION_S = 10.0
"""Seconds that a prediction is expected to take until there are measured times."""


@dataclass(frozen=True)
class Job:
    """One run of one command.

    Attributes:
        label: Its name in the plan, unique: `gru seed 1 of flip_flop`.
        stage: `tasks`, `simulators`, `models` or `analyses`; `joint` for a fit of all recordings together,
            `predictions` for what it says of each.
        package: Whose command runs.
        command: Its sub-command, "" for none.
        also: Files that it writes beside its result; whoever gets the result gets these too.
        settings: `key=value` of everything but files and folders.
        inputs: Argument to the labels of the jobs whose results it gets. The job waits for all of them.
        recordings: Argument to recordings that are there already.
        optional: An argument that takes a list, and does with those whose jobs didn't fail.
        threads: CPU threads that it takes.
        expected_s: Seconds that the suite expects.
    """

    label: str
    stage: str
    package: str
    settings: tuple[str, ...]
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    recordings: Mapping[str, tuple[Recording, ...]] = field(default_factory=dict)
    optional: str = ""
    threads: int = 1
    expected_s: float = 60.0
    command: str = ""
    also: tuple[str, ...] = ()

    @property
    def result(self) -> str:
        """Name of the file that it writes, the last one of several."""
        return RESULTS[self.stage]

    @property
    def results(self) -> tuple[str, ...]:
        """Names of all files that it writes."""
        return (self.result, *self.also)

    @property
    def recipe(self) -> str:
        """What runs of the same length share: everything but seed and inputs."""
        settings = [setting for setting in self.settings if not setting.startswith(("seed=", "name="))]
        return " ".join([self.stage, *self._program(), *settings])

    def parents(self) -> list[str]:
        """Labels of all jobs that it waits for."""
        return [label for labels in self.inputs.values() for label in labels]

    def identity(self, versions: Mapping[str, str], parents: Mapping[str, list[str]]) -> str:
        """Hash of all that its result depends on, 16 hexadecimal digits.

        Args:
            versions: Package to version, for those that it runs on.
            parents: Argument to the identities of the jobs that give it.
        """
        given = {
            argument: [recording.digest for recording in recordings]
            for argument, recordings in self.recordings.items()
        }
        program = " ".join(self._program())
        everything = [program, sorted(self.settings), dict(versions), {**parents, **given}]
        return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:16]

    def _program(self) -> list[str]:
        return [self.package, self.command] if self.command else [self.package]

    def arguments(self, results: Mapping[str, list[Path]]) -> list[str]:
        """The command's arguments, given the files of its inputs."""
        files = []
        for argument, paths in results.items():
            value = ",".join(map(quoted, paths))
            is_list = len(paths) > 1 or argument == self.optional
            files.append(f"{argument}=[{value}]" if is_list else f"{argument}={value}")
        return [*self.settings, *files]


def quoted(path: Path) -> str:
    """A path as a value on a command line of Hydra's, whatever characters it has."""
    # Backslashes count as themselves unless a quote follows.
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), str(path))
    return f"'{escaped}'"


def plan(suite: Suite) -> list[Job]:
    """All jobs of a suite, parents first.

    Raises:
        ValueError: A recording isn't there, its path is left open, or two would have one name.
    """
    of_tasks = {label: entry for label, entry in suite.simulators.items() if not entry.has_source}
    jobs: list[Job] = []
    datasets: list[str] = []
    for task, task_seed in _runs(suite.tasks):
        parent = _job("tasks", suite.tasks[task], task_seed, f"task {_named(suite.tasks, task, task_seed)}")
        jobs.append(parent)
        for simulator, seed in _runs(of_tasks):
            datasets.append(_dataset(suite, task, task_seed, simulator, seed))
            recording = _recording(suite, simulator, seed, datasets[-1], parent)
            jobs += [recording, *_fits(suite, datasets[-1], recording, task=parent)]
    for simulator, seed in _runs(suite.simulators):
        if simulator in of_tasks:
            continue
        several = len(suite.simulators[simulator].seeds) > 1
        datasets.append(f"{simulator}-simulation-{seed}" if several else simulator)
        recording = _recording(suite, simulator, seed, datasets[-1], None)
        jobs += [recording, *_fits(suite, datasets[-1], recording)]
    recordings = {label: Recording.at(path) for label, path in suite.on([]).recordings.items()}
    _refuse_equal([*datasets, *recordings])
    jobs += _joint_fits(suite, tuple(recordings.values()))
    for dataset, recording in recordings.items():
        jobs += _fits(suite, dataset, recording)
    return jobs


def _recording(suite: Suite, simulator: str, seed: int, dataset: str, task: Job | None) -> Job:
    """The recording of a task, or of the simulator's own system."""
    entry = suite.simulators[simulator]
    inputs = {} if task is None else {"source": (task.label,)}
    return _job("simulators", entry, seed, f"recording {dataset}", [f"name={dataset}"], inputs)


def _refuse_equal(datasets: list[str]) -> None:
    """Refuse two recordings of one name."""
    for name in datasets:
        if datasets.count(name) > 1:
            raise ValueError(f"two recordings of the suite would be called {name}: give one another label")


def _joint_fits(suite: Suite, recordings: tuple[Recording, ...]) -> list[Job]:
    """The fits of all recordings together."""
    return [
        _job(
            "joint",
            suite.models[model],
            seed,
            _joint_label(model, seed),
            [f"name={model}"],
            recordings={"data": recordings},
        )
        for model, seed in _runs(suite.models)
        if suite.models[model].joint
    ]


def _joint_label(model: str, seed: int) -> str:
    return f"{model} seed {seed} of all recordings"


def _fits(suite: Suite, dataset: str, recording: Job | Recording, *, task: Job | None = None) -> list[Job]:
    """The fits of one recording, or what joint fits predict of it, and their analyses."""

    def given(argument: str, **inputs: tuple[str, ...]) -> dict[str, Any]:
        if isinstance(recording, Recording):
            return {"recordings": {argument: (recording,)}, "inputs": inputs}
        return {"inputs": {argument: (recording.label,), **inputs}}

    fits = []
    for model, seed in _runs(suite.models):
        stage, entry, inputs = "models", suite.models[model], {}
        if entry.joint:
            # The settings are those of the fit, which the command reads from its folder.
            stage, entry = "predictions", replace(entry, overrides=(), expected_s=PREDICTION_S)
            inputs = {"predict": (_joint_label(model, seed),)}
        label = f"{model} seed {seed} of {dataset}"
        fits.append(_job(stage, entry, seed, label, [f"name={model}"], **given("data", **inputs)))
    inputs = {"inference": tuple(fit.label for fit in fits)}
    if task is not None:
        inputs["task"] = (task.label,)
    analyses = [
        _job(
            "analyses",
            suite.analyses[analysis],
            seed,
            f"analysis {_named(suite.analyses, analysis, seed)} of {dataset}",
            optional="inference",
            **given("truth", **inputs),
        )
        for analysis, seed in _runs(suite.analyses)
    ]
    return [*fits, *analyses]


def _runs(entries: Mapping[str, Entry]) -> list[tuple[str, int]]:
    return [(label, seed) for label, entry in entries.items() for seed in entry.seeds]


def _named(entries: Mapping[str, Entry], label: str, seed: int) -> str:
    """The label, with the seed where there are several."""
    return label if len(entries[label].seeds) == 1 else f"{label} seed {seed}"


def _dataset(suite: Suite, task: str, task_seed: int, simulator: str, seed: int) -> str:
    """Name of a recording: no longer than it takes to tell it from the suite's others."""
    parts = [task]
    if len(suite.tasks[task].seeds) > 1:
        parts.append(f"network-{task_seed}")
    if sum(not entry.has_source for entry in suite.simulators.values()) > 1:
        parts.append(simulator)
    if len(suite.simulators[simulator].seeds) > 1:
        parts.append(f"spikes-{seed}")
    return "-".join(parts)


def _job(
    stage: str,
    entry: Entry,
    seed: int,
    label: str,
    settings: list[str] | None = None,
    inputs: Mapping[str, tuple[str, ...]] | None = None,
    recordings: Mapping[str, tuple[Recording, ...]] | None = None,
    optional: str = "",
) -> Job:
    return Job(
        label=label,
        stage=stage,
        package=entry.package or STAGES.get(stage, STAGES["models"]),
        settings=(*entry.overrides, *(settings or []), f"seed={seed}", f"threads={entry.threads}"),
        inputs=inputs or {},
        recordings=recordings or {},
        command=entry.command,
        also=entry.also,
        optional=optional,
        threads=entry.threads,
        expected_s=entry.expected_s,
    )
