"""Runs blocks of trials side by side, each in a thread that computes alone.

The products of one bin are too small to be shared out among cores, and a block of one or two hundred trials
keeps its state and gates in a core's own cache. torch frees the interpreter's lock inside every operation.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

import torch

_LARGEST = 256
_SMALLEST = 16

Job = TypeVar("Job")
Result = TypeVar("Result")


def split_trials(trials: int, device: torch.device, *, beside: int = 1) -> list[slice]:
    """Split trials into blocks of nearly equal size, as many for every thread where they are enough.

    Args:
        trials: Number of trials.
        device: Where they are; only a CPU's are split.
        beside: Recurrences over these trials that run side by side and so share the threads.
    """
    if device.type != "cpu":
        return [slice(0, trials)]
    threads = -(-torch.get_num_threads() // beside)
    count = threads * max(1, -(-trials // (_LARGEST * threads)))
    count = max(1, min(count, trials // _SMALLEST))
    edges = [trials * index // count for index in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def run_jobs(work: Callable[[Job], Result], jobs: Sequence[Job], device: torch.device) -> list[Result]:
    """Do ``work`` for every job, without gradients, and return the results in the order of the jobs."""
    threads = min(torch.get_num_threads(), len(jobs)) if device.type == "cpu" else 1

    def quiet(job: Job) -> Result:
        # The mode is per thread.
        with torch.no_grad():
            return work(job)

    if threads <= 1:
        return [quiet(job) for job in jobs]
    return list(_pool(threads).map(quiet, jobs))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, "sequence", initializer=_compute_alone)
    # Start all of them now, and let none be free before: the number holds for the thread that sets it, but is
    # also what later threads of the program begin with, so it is set back once.
    everyone = threading.Barrier(threads)
    for future in [pool.submit(everyone.wait) for _ in range(threads)]:
        future.result()
    torch.set_num_threads(before)
    return pool


# Threads do not survive a fork: the child starts its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _compute_alone() -> None:
    # torch gives a thread the program's number when it first asks, which would overrule one set before.
    torch.get_num_threads()
    torch.set_num_threads(1)
