"""What a suite is: tasks and simulators, or recordings; models and analyses: commands with settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from ctd_benchmark.typed import nearest, typed

OPEN = "???"
"""In place of a path that the user is to give."""

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# Settings that the benchmark gives itself.
RESERVED = (
    "out",
    "name",
    "seed",
    "threads",
    "resume",
    "overwrite",
    "source",
    "data",
    "truth",
    "inference",
    "debug",
)


@dataclass(frozen=True)
class Entry:
    """One command of a suite.

    Attributes:
        package: Whose command runs; by default the one of its stage.
        command: Its sub-command, where it has several.
        overrides: Settings of the command, `key=value`.
        seeds: One run for each.
        threads: CPU threads of one run.
        expected_s: How long one run takes, in seconds; shown by a dry run until there are measured times.
        joint: Of a model: one fit of all recordings together, which then predicts each of them.
        also: Of a model: inference files that it writes beside inference.h5, by name; each is analysed as a
            model of its own.
    """

    package: str = ""
    command: str = ""
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    threads: int = 1
    expected_s: float = 60.0
    joint: bool = False
    also: tuple[str, ...] = ()

    @property
    def has_source(self) -> bool:
        """Whether it names its source itself: a simulator of a system of its own, which takes no task."""
        return any(override.startswith("source=") for override in self.overrides)


# Which command each stage runs unless its entry says otherwise.
STAGES = {
    "tasks": "ctd-tasks",
    "simulators": "ctd-sim",
    "models": "ctd-models-torch",
    "analyses": "ctd-analysis",
}


@dataclass(frozen=True)
class Suite:
    """All that is run: each task by each simulator by each model, then each analysis of each recording.

    Attributes:
        models: Label to command that fits a recording.
        tasks: Label to command that writes a task file.
        simulators: Label to command that makes a recording of a task file, or, with `source=` among its
            overrides, of a system of its own.
        recordings: Label to path of a recording that is there already; ??? where the user is to give it.
        analyses: Label to command that compares all fits of a recording.
        summary: What the suite is for, in a sentence.
    """

    models: Mapping[str, Entry]
    tasks: Mapping[str, Entry] = field(default_factory=dict)
    simulators: Mapping[str, Entry] = field(default_factory=dict)
    recordings: Mapping[str, str] = field(default_factory=dict)
    analyses: Mapping[str, Entry] = field(default_factory=lambda: {"default": Entry()})
    summary: str = ""

    def chosen(self, *, models: list[str] | None, seeds: list[int] | None, offset: int) -> Suite:
        """The same suite with some of its models and model seeds, every seed moved by `offset`.

        Raises:
            ValueError: A model that the suite doesn't have.
        """
        for name in models or ():
            if name not in self.models:
                raise ValueError(f"the suite has no model {name!r}{nearest(name, self.models)}")
        kept = {name: entry for name, entry in self.models.items() if models is None or name in models}
        if seeds is not None:
            kept = {name: replace(entry, seeds=tuple(seeds)) for name, entry in kept.items()}
        stages = {stage: getattr(self, stage) for stage in STAGES} | {"models": kept}
        return replace(
            self,
            **{
                stage: {
                    label: replace(entry, seeds=tuple(seed + offset for seed in entry.seeds))
                    for label, entry in entries.items()
                }
                for stage, entries in stages.items()
            },
        )

    def on(self, paths: Sequence[str]) -> Suite:
        """The same suite with the paths of the recordings that it leaves open, in its order.

        Raises:
            ValueError: There are more or fewer paths than it leaves open.
        """
        left_open = [label for label, known in self.recordings.items() if known == OPEN]
        if len(paths) == len(left_open):
            return replace(self, recordings={**self.recordings, **dict(zip(left_open, paths, strict=True))})
        if not left_open:
            raise ValueError("data= is for a suite that leaves paths of recordings open, this has none")
        files = ",".join(f"{label}.h5" for label in left_open)
        raise ValueError(
            f"the suite needs the recording{'s' * (len(left_open) > 1)} {', '.join(left_open)}, got "
            f"{len(paths) or 'none'}: add data={files if len(left_open) == 1 else f'[{files}]'} "
            "(ctd-contract convert makes them of a laboratory's file)"
        )


def suite_names() -> list[str]:
    """Names of the suites that come with the package."""
    return sorted(
        item.name.removesuffix(".yaml")
        for item in files("ctd_benchmark").joinpath("suites").iterdir()
        if item.name.endswith(".yaml")
    )


def load_suite(name: str) -> Suite:
    """Read a suite that comes with the package, or a file of your own.

    Args:
        name: `quickstart`, or the path of a `.yaml` file.

    Raises:
        ValueError: There is no such suite, or something in it is wrong; the message says where.
    """
    from omegaconf import OmegaConf
    from yaml import YAMLError

    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise ValueError(f"there is no file {name}")
        text = Path(name).read_text()
    elif name in suite_names():
        text = files("ctd_benchmark").joinpath("suites", f"{name}.yaml").read_text()
    else:
        raise ValueError(
            f"there is no suite {name!r}{nearest(name, suite_names())}; a file of your own ends in .yaml"
        )
    try:
        plain = OmegaConf.to_container(OmegaConf.create(text))
    except YAMLError as error:
        raise ValueError(f"{name} is no YAML: {' '.join(str(error).split())}") from error
    return make_suite(plain, where=name)


def make_suite(plain: Any, *, where: str = "suite") -> Suite:
    """A suite of plain dictionaries and lists, checked.

    Raises:
        ValueError: Something is wrong; the message says where and names the nearest valid key.
    """
    suite = typed(Suite, plain, where)
    for stage in STAGES:
        for label, entry in getattr(suite, stage).items():
            _check(entry, label, f"{where}: {stage}.{label}", source_is_own=stage == "simulators")
            _check_also(entry, stage, f"{where}: {stage}.{label}.also")
    for stage in ("models", "analyses"):
        if not getattr(suite, stage):
            raise ValueError(f"{where}: {stage} names nothing to run")
    _check_sources(suite, where)
    for label in suite.recordings:
        _check_label(label, f"{where}: recordings.{label}")
    _check_joint(suite, where)
    return suite


def _check_sources(suite: Suite, where: str) -> None:
    """Refuse a suite without recordings, simulators without tasks, and tasks that nothing simulates."""
    if not (suite.simulators or suite.recordings or suite.tasks):
        raise ValueError(f"{where}: simulators names nothing to run, and there are no recordings instead")
    of_tasks = [label for label, entry in suite.simulators.items() if not entry.has_source]
    if of_tasks and not suite.tasks:
        raise ValueError(
            f"{where}: simulators.{of_tasks[0]}: tasks names nothing to simulate: name a task, or add "
            "source=SYSTEM to the overrides of a simulator that has a system of its own"
        )
    if suite.tasks and not of_tasks:
        instead = "all simulators have sources of their own" if suite.simulators else "simulators is empty"
        raise ValueError(f"{where}: nothing simulates tasks.{next(iter(suite.tasks))}: {instead}")


def _check_joint(suite: Suite, where: str) -> None:
    """Refuse joint fits of anything but several recordings."""
    for stage in STAGES:
        for label in [label for label, entry in getattr(suite, stage).items() if entry.joint]:
            place = f"{where}: {stage}.{label}.joint"
            if stage != "models":
                raise ValueError(f"{place}: only a model can be fitted to all recordings together")
            if suite.simulators:
                raise ValueError(f"{place}: is for a suite of recordings alone, and this one simulates")
            if len(suite.recordings) < 2:
                raise ValueError(
                    f"{place}: expected several recordings to fit together, got {len(suite.recordings)}"
                )


def _check_also(entry: Entry, stage: str, where: str) -> None:
    """Refuse further files of anything but a model of one recording, and names that are none."""
    if entry.also and (stage != "models" or entry.joint):
        raise ValueError(f"{where}: only a model that is fitted to one recording can write several files")
    for name in entry.also:
        if not LABEL.fullmatch(name) or not name.endswith(".h5") or name == "inference.h5":
            raise ValueError(f"{where}: expected the name of a file beside inference.h5, got {name!r}")


def _check_label(label: str, where: str) -> None:
    if not LABEL.fullmatch(label):
        raise ValueError(f"{where}: a label is made of letters, digits, '_', '.' and '-'")


def _check(entry: Entry, label: str, where: str, *, source_is_own: bool = False) -> None:
    _check_label(label, where)
    if entry.command and not LABEL.fullmatch(entry.command):
        raise ValueError(f"{where}.command: expected one word, got {entry.command!r}")
    if not entry.seeds or len(set(entry.seeds)) != len(entry.seeds):
        raise ValueError(f"{where}.seeds: expected different seeds, at least one, got {list(entry.seeds)}")
    if entry.threads < 1:
        raise ValueError(f"{where}.threads: expected at least 1, got {entry.threads}")
    if not entry.expected_s > 0:
        raise ValueError(f"{where}.expected_s: expected more than 0, got {entry.expected_s}")
    for override in entry.overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ValueError(f"{where}.overrides: expected KEY=VALUE, got {override!r}")
        if key in RESERVED and not (key == "source" and source_is_own):
            raise ValueError(f"{where}.overrides: {key} is given by the benchmark, take it out")
        if key == "source" and ("/" in value or value.endswith(".h5")):
            raise ValueError(f"{where}.overrides: source= names a system here, not a file, got {value!r}")
