"""The whole search: generations, tournaments, checkpoints, the table and the best member as a fitted run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ctd_contract.command import progress
from ctd_contract.torch.training import NonFiniteLossError
from ctd_models_torch.config import (
    FitConfig,
    LinearReadoutConfig,
    ModelConfig,
    ReadoutConfig,
    RecordingConfig,
)
from ctd_models_torch.errors import InputError
from ctd_models_torch.fitting import describe, write_fit
from ctd_models_torch.registry import name_of
from ctd_models_torch.saved import SavedModel
from ctd_models_torch.search import history
from ctd_models_torch.search.config import RangeConfig, SearchConfig
from ctd_models_torch.search.defaults import default_space
from ctd_models_torch.search.population import Best, Population, forget, load_trained, save_trained
from ctd_models_torch.search.runners import Runner, runner_of
from ctd_models_torch.search.space import Settings, Space
from ctd_models_torch.search.trainee import Task

# Settings of a search that say where it runs, not what comes out.
_WHERE = ("runner", "ray_address", "ray_cpus", "ray_gpus")
# Settings of single fits that have no meaning in a search, and what has.
_UNUSED = {
    "patience": "search.stop ends a search",
    "target": "search.stop ends a search",
    "figure_interval": "a search draws search.png",
    "tensorboard": "a search writes members.csv, checks.csv and a figure",
    "wandb": "a search writes members.csv, checks.csv and a figure",
}


@dataclass(frozen=True)
class Searched:
    """A finished search.

    Attributes:
        best: The member with the best score.
        settings: Of its model, readout and training.
        reason: Why the search ended.
        paths: Its inference file of each recording.
    """

    best: Best
    settings: Settings
    reason: str
    paths: list[Path]


def search(
    recording: str | Path | Sequence[str | Path],
    folder: str | Path,
    *,
    model: ModelConfig,
    training: FitConfig,
    settings: SearchConfig | None = None,
    readout: ReadoutConfig | None = None,
    reading: RecordingConfig | None = None,
    alignment: str | Path | None = None,
    name: str | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    run: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> Searched:
    """Search hyperparameters by population-based training (Jaderberg et al. 2017) or at random.

    The folder gets ``members.csv``, ``checks.csv``, ``search.json``, ``search.png``, and of the best member
    ``model.safetensors`` and ``inference.h5``, like a fit's. A search that was killed and continued with
    ``resume`` ends in the same files as one that was not.

    Args:
        recording: The recording's file, or those of several; validation trials decide.
        folder: The search's folder.
        model: Settings of the model, into which hyperparameters are put.
        training: Settings of the training, likewise; its stopping rules must be off.
        settings: Of the search.
        readout: As in `fit`.
        reading: As in `fit`.
        alignment: As in `fit`.
        name: As in `fit`.
        seed: Of everything random; every member derives one of its own.
        resume: Continue an interrupted search.
        overwrite: Replace an existing inference file.
        run: As in `fit`.
        config: As in `fit`; the best member's settings are put in.

    Raises:
        InputError: The recording or a setting can't be used.
        NonFiniteLossError: Every member has failed.

    Example:
        >>> training = FitConfig(schedule="constant", tensorboard=False, figure_interval=None)
        >>> found = search("recording.h5", "run", model=LFADSConfig(), training=training)  # doctest: +SKIP
    """
    folder, settings = Path(folder), settings or SearchConfig()
    _refuse_unused(training)
    base = Settings(model, readout or LinearReadoutConfig(), training)
    paths = [recording] if isinstance(recording, str | Path) else recording
    absolute = tuple(str(Path(path).resolve()) for path in paths)
    start = None if alignment is None else str(Path(alignment).resolve())
    task = Task(absolute, base, reading or RecordingConfig(), settings.monitor, start)
    ranges, digests = _ranges(task, settings)
    space = Space.of(ranges, base, seed)
    identity = _identity(base, task.reading, settings, ranges, seed, digests)
    population = Population.load(folder, identity) if resume else None
    if population is None:
        forget(folder, settings.population)
        population = Population.first(identity, space, settings.population)
        _check_members(task, settings, space, population)
        population.save(folder)
    population = _advance(population, task, settings, space, folder)
    best = population.best
    if best is None or population.reason == "every member has failed":
        failures = "; ".join(dict.fromkeys(member.failure for member in population.members))
        raise NonFiniteLossError(f"every member of the search has failed: {failures}")
    chosen = base.with_values(best.member.values)
    described = dict(config or {}) | _describe(chosen, task.reading, settings, ranges)
    results = _write_best(
        task, folder, best, chosen, described, name=name, run=run, overwrite=overwrite or resume
    )
    return Searched(best, chosen, population.reason, results)


def _refuse_unused(training: FitConfig) -> None:
    for name, instead in _UNUSED.items():
        value = getattr(training, name)
        if value not in (None, False):
            off = "false" if value is True else "null"
            raise InputError(f"training.{name}={value} is for single fits: set it to {off}; {instead}")


def _ranges(task: Task, settings: SearchConfig) -> tuple[list[RangeConfig], list[str]]:
    """The hyperparameters, and the recordings' digests."""
    with task.data() as data:
        neurons = sum(one.file.sizes["neuron"] for one in data) // len(data)
        ranges = settings.space
        if ranges is None:
            ranges = default_space(task.settings, len(data[0].file.time) * neurons)
        return ranges, [one.file.digest for one in data]


def _identity(
    base: Settings,
    reading: Any,
    settings: SearchConfig,
    ranges: Sequence[RangeConfig],
    seed: int,
    digests: list[str],
) -> dict[str, Any]:
    search = {key: value for key, value in asdict(settings).items() if key not in _WHERE}
    return {
        **_describe(base, reading, settings, ranges),
        "search": search | {"space": [asdict(one) for one in ranges]},
        "seed": seed,
        "recordings": digests,
    }


def _describe(
    base: Settings, reading: RecordingConfig, settings: SearchConfig, ranges: Sequence[RangeConfig]
) -> dict[str, Any]:
    return describe(base.model, base.readout, reading, base.training) | {
        "search": asdict(settings) | {"space": [asdict(one) for one in ranges]}
    }


def _check_members(task: Task, settings: SearchConfig, space: Space, population: Population) -> None:
    """Refuse values that a setting refuses, and for tournaments ones that change the model's shape."""
    for member in population.members:
        task.settings.with_values(member.values)
    if settings.kind == "random":
        return
    with task.data() as data:
        for key in space.whole:
            both = [{key: int(bound)} for bound in (space.ranges[key].low, space.ranges[key].high)]
            modules = [task.module(data, task.settings.with_values(values), 0)[0] for values in both]
            shapes = [{name: value.shape for name, value in one.state_dict().items()} for one in modules]
            if shapes[0] != shapes[1]:
                raise InputError(
                    f"{key} changes the shape of the model, and losers of a tournament take over the "
                    "winners' weights: search it with search.kind=random"
                )


def _advance(
    population: Population, task: Task, settings: SearchConfig, space: Space, folder: Path
) -> Population:
    """Go on to the end, keeping a checkpoint of every generation."""
    last = task.settings.training.max_epochs
    burn_in = settings.burn_in_epochs
    if burn_in is None:
        burn_in = max(0, task.settings.model.ramped_epochs - 1) + settings.generation_epochs
    size = len(population.members)
    with (
        runner_of(task, settings, torch.get_num_threads()) as runner,
        progress(last * size, "searching") as bar,
    ):
        bar.advance(0 if population.reason else population.epoch * size)
        while not population.reason:
            until = population.next_end(settings, burn_in, last)
            members = _generation(population, runner, until, folder, bar.advance)
            population = population.after(members, settings, space, burn_in=burn_in, last=last)
            _write_history(population, settings, space, folder)
            population.save(folder)
            if population.best is not None:
                bar.advance(0, generation=population.generation, best=population.best.member.score)
    return population


def _generation(population: Population, runner: Runner, until: int, folder: Path, report: Any) -> list[Any]:
    """The members after a generation, of which some may have been through it when the search was killed."""
    members = dict(enumerate(population.members))
    done = load_trained(folder, population.generation, len(members))
    done |= {position: member for position, member in members.items() if member.failure}
    waiting = {position: member for position, member in members.items() if position not in done}
    for position, member in runner(waiting, until, report):
        save_trained(folder, population.generation, position, member)
        done[position] = member
    return [done[position] for position in members]


def _write_history(population: Population, settings: SearchConfig, space: Space, folder: Path) -> None:
    from ctd_models_torch.search.plot import draw_search

    history.write_table(folder / history.MEMBERS, population.rows)
    history.write_table(folder / history.CHECKS, population.checks)
    best = population.best
    summary = {
        "format": 1,
        "space": [asdict(one) for one in space.ranges.values()],
        "settings": population.identity,
        "generations": population.generation,
        "reason": population.reason,
        "best": best
        and {
            "member": best.position,
            "generation": best.generation,
            "epoch": best.member.epoch,
            "score": best.member.score,
            "values": best.member.values,
            "seed": best.member.seed,
        },
    }
    history.write_summary(folder / history.SUMMARY, summary)
    if population.reason and best is not None:
        rows, checks, ranges = population.rows, population.checks, list(space.ranges.values())
        place = (best.generation, best.position)
        draw_search(folder / history.FIGURE, rows, checks, place, ranges, settings.monitor)


def _write_best(
    task: Task, folder: Path, best: Best, chosen: Settings, described: dict[str, Any], **options: Any
) -> list[Path]:
    """Write the best member as a fit of its own would be."""
    seed = best.member.seed
    with task.data() as data:
        module, shapes = task.module(data, chosen, seed)
        module.load_state_dict(best.member.weights or {})
        saved = SavedModel(module.model, name_of(chosen.model), shapes, described, seed)
        return write_fit(folder, saved, chosen.model, chosen.readout, data, device=task.device, **options)
