"""One step of a population of 8 against 8 steps of one model: LFADS at the 20 ms size of MC_Maze.

The fast side is what a search does by default on this processor; the other way stands beside it. Ratio 1 is a
population that costs as much as its members alone.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from timing import agree

from ctd_contract.testing import make_recording
from ctd_models_torch.config import FitConfig, LinearReadoutConfig, RecordingConfig
from ctd_models_torch.lfads.config import ControllerConfig, InitialEncoderConfig, LFADSConfig
from ctd_models_torch.recording import Recording
from ctd_models_torch.search.batched import BatchedModel
from ctd_models_torch.search.defaults import default_space
from ctd_models_torch.search.member import Member
from ctd_models_torch.search.space import Settings, Space
from ctd_models_torch.search.trainee import Task, Trainee, arithmetic

POPULATION, THREADS, REPEATS = 8, 2, 3


def settings_of(trials: int, scale: int, precision: str) -> Settings:
    """Of LFADS with parts of so many units times the scale."""
    model = LFADSConfig(
        size=50 * scale,
        factors=25 * scale,
        initial_condition=16 * scale,
        encoder=InitialEncoderConfig(size=16 * scale),
        controller=ControllerConfig(size=16 * scale, controls=4, encoder_size=16 * scale),
    )
    training = FitConfig(batch_size=trials, accelerator="cpu", schedule="constant", precision=precision)
    return Settings(model, LinearReadoutConfig(), training)


def trainees_of(task: Task, data: list[Recording]) -> list[Trainee]:
    """Fresh members of the population, each with hyperparameters of its own."""
    space = Space.of(default_space(task.settings, 100), task.settings, 0)
    members = [Trainee(task, data, Member.first(space, index)) for index in range(POPULATION)]
    for one in members:
        one.begin_epoch()
    return members


def alone(members: list[Trainee], batches: list[dict]) -> None:
    """A step of each member, one after another."""
    for one, batch in zip(members, batches, strict=True):
        one.gradients(batch, 0)
        one.update()


def together(population: BatchedModel, members: list[Trainee], batches: list[dict]) -> None:
    """A step of all members as one batched model."""
    population.gradients(members, batches, 0)
    for one in members:
        one.update()


def check(path: Path) -> float:
    """Gradients of both ways in double precision; their largest difference."""
    task = Task((str(path),), settings_of(40, 1, "64-true"), RecordingConfig(inputs=None), "loss")
    with task.data() as data, arithmetic("64-true", torch.device("cpu")):
        members, found = trainees_of(task, data), []
        batches = [next(iter(one.batches())) for one in members]
        population = BatchedModel(members, data)
        for way in (lambda: population.gradients(members, batches, 0), lambda: gradients(members, batches)):
            way()
            found.append(
                {
                    f"{index} {name}": parameter.grad.clone()
                    for index, one in enumerate(members)
                    for name, parameter in one.module.named_parameters()
                }
            )
    return agree(*found)


def gradients(members: list[Trainee], batches: list[dict]) -> None:
    """Gradients of each member, one after another."""
    for one, batch in zip(members, batches, strict=True):
        one.gradients(batch, 0)


def medians(sides: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Run all sides in turn, once unmeasured; median seconds of each."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(REPEATS + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def measure() -> dict:
    """See the top; medians in seconds."""
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        small = make_recording(Path(folder) / "small.h5", n_trials=60, n_time=12)
        difference = check(small)
        sizes = {"n_trials": 400, "n_time": 45, "n_neurons": 182, "n_held_out": 45, "n_forward": 10}
        path = make_recording(Path(folder) / "maze.h5", **sizes)
        task = Task((str(path),), settings_of(256, 4, "32-true"), RecordingConfig(inputs=None), "loss")
        with task.data() as data:
            single, batched = trainees_of(task, data), trainees_of(task, data)
            batches = [next(iter(one.batches())) for one in single]
            population = BatchedModel(batched, data)
            times = medians(
                {
                    "single": lambda: alone(single[:1], batches[:1]),
                    "alone": lambda: alone(single, batches),
                    "together": lambda: together(population, batched, batches),
                }
            )
    eight = POPULATION * times["single"]
    return {
        "name": "population_step",
        "ratio": eight / times["alone"],
        "fast_s": times["alone"],
        "slow_s": eight,
        "single_steps": times["alone"] / times["single"],
        "single_steps_batched": times["together"] / times["single"],
        "batched_s": times["together"],
        "trials": len(batches[0]["data"]),
        "threads": THREADS,
        "difference_float64": difference,
    }


if __name__ == "__main__":
    print(json.dumps(measure()))
