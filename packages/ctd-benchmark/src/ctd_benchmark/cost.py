"""How long a plan takes: the same list scheduling as the runner's, in thought."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from ctd_benchmark.plan import Job


def longest_chains(jobs: Mapping[str, Job], seconds: Mapping[str, float]) -> dict[str, float]:
    """For each job, the seconds of the longest chain that starts with it: what should run first.

    Args:
        jobs: Label to job, parents before children.
        seconds: Label to how long it takes.
    """
    after = dict.fromkeys(jobs, 0.0)
    for label in reversed(list(jobs)):
        for parent in jobs[label].parents():
            if parent in after:
                after[parent] = max(after[parent], after[label] + seconds[label])
    return {label: after[label] + seconds[label] for label in jobs}


def wall_seconds(jobs: Sequence[Job], seconds: Mapping[str, float], cores: int) -> float:
    """Time until all these jobs are done; parents that aren't among them count as done.

    Args:
        jobs: Parents before children.
        seconds: Label to how long it (still) takes.
        cores: CPU threads of all jobs that run at once.
    """
    by_label = {job.label: job for job in jobs}
    chains = longest_chains(by_label, seconds)
    waiting = sorted(by_label, key=lambda label: -chains[label])
    running: list[tuple[float, str]] = []
    done: set[str] = set()
    now, free = 0.0, cores
    while waiting or running:
        for label in list(waiting):
            job = by_label[label]
            ready = all(parent in done or parent not in by_label for parent in job.parents())
            if ready and (job.threads <= free or not running):
                waiting.remove(label)
                free -= job.threads
                heapq.heappush(running, (now + seconds[label], label))
        now, label = heapq.heappop(running)
        done.add(label)
        free += by_label[label].threads
    return now
