"""Runs blocks of trials side by side, each in a thread that computes alone.

The products of one bin are too small to be shared out among cores, and a block of about a hundred trials keeps
its state and gates in a core's own cache. torch releases the interpreter's lock inside every operation.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
import time
from typing import TypeVar

import torch

_LARGEST = 128
_SMALLEST = 16

Job = TypeVar("Job")
Result = TypeVar("Result")


def split_trials(trials: int, device: torch.device) -> list[slice]:
    """Split trials into blocks of nearly equal size, a whole number for every thread where they are enough."""
    if device.type != "cpu":
        return [slice(0, trials)]
    threads = torch.get_num_threads()
    count = threads * max(1, -(-trials // (_LARGEST * threads)))
    count = max(1, min(count, trials // _SMALLEST))
    edges = [trials * index // count for index in range(count + 1)]
    return [slice(start, stop) for start, stop in zip(edges[:-1], edges[1:], strict=True)]


def run_jobs(work: Callable[[Job], Result], jobs: Sequence[Job], device: torch.device) -> list[Result]:
    """Do ``work`` for every job, without gradients, and return the results in the order of the jobs."""
    threads = min(torch.get_num_threads(), len(jobs)) if device.type == "cpu" else 1

    def quiet(job: Job) -> Result:
        # The mode is per thread.
        with torch.no_grad():
            return work(job)

    if threads == 1:
        return [quiet(job) for job in jobs]
    return list(_pool(threads).map(quiet, jobs))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, "sequence", initializer=torch.set_num_threads, initargs=(1,))
    # Start all of them now: the number holds for the thread that sets it, but is also what later threads of
    # the program begin with, so it is set back once.
    for future in [pool.submit(_wait) for _ in range(threads)]:
        future.result()
    torch.set_num_threads(before)
    return pool


def _wait() -> None:
    """Keep a thread busy for a moment, so that the pool starts the next one."""
    time.sleep(0.002)
