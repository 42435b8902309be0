"""Members as tasks of Ray: on this machine or on a cluster, and again where a worker has died."""

from __future__ import annotations

import importlib
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ctd_contract.command import RunFailed
from ctd_models_torch.errors import InputError
from ctd_models_torch.search.config import SearchConfig
from ctd_models_torch.search.generation import Report, train_members
from ctd_models_torch.search.member import Member
from ctd_models_torch.search.runners import Runner
from ctd_models_torch.search.trainee import Task

# How often a member is trained anew after the death of its worker; a task depends on its arguments alone.
RETRIES = 5
# How long a cluster may take to answer.
PATIENCE_S = 20.0


def train_remotely(task: Task, member: Member, until: int, threads: int) -> Member:
    """Train one member in a worker, with as many threads as the driver would use."""
    torch.set_num_threads(threads)
    with task.data() as data:
        return train_members(task, data, [member], until, batched=False, report=lambda _: None)[0]


@contextmanager
def ray_runner(task: Task, config: SearchConfig, threads: int) -> Iterator[Runner]:
    """A runner on Ray.

    Workers open the recordings by their paths, and results don't depend on which worker did what.

    Raises:
        InputError: Ray isn't installed, or can't be reached.
        RunFailed: Workers died again and again.
    """
    ray = _ray()
    started = not ray.is_initialized()
    if started:
        _connect(ray, config.ray_address)
    try:
        reserved = {"num_cpus": config.ray_cpus, "num_gpus": config.ray_gpus, "max_retries": RETRIES}
        remote = ray.remote(**reserved)(train_remotely)
        shared = ray.put(task)

        def run(members: Mapping[int, Member], until: int, report: Report) -> Iterator[tuple[int, Member]]:
            waiting = {
                remote.remote(shared, member, until, threads): position
                for position, member in members.items()
            }
            while waiting:
                (ready,), _ = ray.wait(list(waiting), num_returns=1)
                position = waiting.pop(ready)
                member = _fetch(ray, ready)
                report(until - members[position].epoch)
                yield position, member

        yield run
    finally:
        if started:
            ray.shutdown()


def _ray() -> Any:
    # Under `uv run` Ray would otherwise make workers an environment of their own.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise InputError(
            "search.runner=ray needs Ray, which is not installed: pip install 'ctd-models-torch[ray]'"
        ) from error


def _check_folder() -> None:
    """Refuse what Ray would wait for without end: it starts no workers from files in their environment."""
    folder = Path(os.environ.get("RAY_TMPDIR", tempfile.gettempdir())).resolve()
    if folder.is_relative_to(Path(sys.prefix).resolve()):
        raise InputError(
            f"Ray would keep its files in {folder}, which lies in the Python environment {sys.prefix}, and "
            "start no workers: set the variable RAY_TMPDIR to a folder outside of it"
        )


def _connect(ray: Any, address: str | None) -> None:
    if address is None:
        _check_folder()
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdigit():
            # Ray itself would try for minutes.
            socket.create_connection((host, int(port)), timeout=PATIENCE_S).close()
        local = {} if address else {"include_dashboard": False}
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
    except (OSError, ValueError) as error:
        raise InputError(f"no Ray answers at search.ray_address={address}: {error}") from error


def _fetch(ray: Any, reference: Any) -> Member:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise RunFailed(
            f"a worker of Ray was lost ({type(error).__name__}), also after {RETRIES} more tries: "
            "resume=true goes on from what is done"
        ) from error
