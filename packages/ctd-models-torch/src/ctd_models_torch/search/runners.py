"""Where members are trained: in this process, or by workers of Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from ctd_models_torch.search.config import SearchConfig
from ctd_models_torch.search.generation import Report, train_members
from ctd_models_torch.search.member import Member
from ctd_models_torch.search.trainee import Task

# Trains members, by position, up to an epoch, and gives each back with its position once it is through.
Runner = Callable[[Mapping[int, Member], int, Report], Iterator[tuple[int, Member]]]


def runner_of(task: Task, config: SearchConfig, threads: int) -> AbstractContextManager[Runner]:
    """The runner that the settings name, while it is needed."""
    if config.runner == "ray":
        from ctd_models_torch.search.ray_runner import ray_runner

        return ray_runner(task, config, threads)
    return _here(task, config)


@contextmanager
def _here(task: Task, config: SearchConfig) -> Iterator[Runner]:
    batched = config.batched == "true" or (config.batched == "auto" and task.device.type != "cpu")
    with task.data() as data:

        def run(members: Mapping[int, Member], until: int, report: Report) -> Iterator[tuple[int, Member]]:
            groups = [list(members)] if batched else [[position] for position in members]
            for positions in groups:
                group = [members[position] for position in positions]
                trained = train_members(task, data, group, until, batched=batched, report=report)
                yield from zip(positions, trained, strict=True)

        yield run
