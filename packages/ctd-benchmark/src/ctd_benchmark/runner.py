"""Runs jobs in parallel, each as soon as what it needs is there."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ctd_benchmark.cost import longest_chains, wall_seconds
from ctd_benchmark.plan import Job
from ctd_benchmark.process import Process
from ctd_benchmark.progress_line import ProgressLine, duration
from ctd_benchmark.store import Record, Store
from ctd_benchmark.versions import command_line, package_versions

POLL_S = 0.05

WAITING, RUNNING, DONE, FAILED, SKIPPED = "waiting", "running", "done", "failed", "skipped"
SETTLED = (DONE, FAILED, SKIPPED)


@dataclass
class Outcome:
    """How the jobs of a plan ended.

    Attributes:
        status: Label to `done`, `failed`, or `skipped` where something that it needs failed.
        results: Label to the file that the job wrote, for those that are done.
        ran: Labels of the jobs that this run ran.
    """

    status: dict[str, str] = field(default_factory=dict)
    results: dict[str, Path] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[str]:
        """Labels of jobs that failed or couldn't start."""
        return [label for label, status in self.status.items() if status in (FAILED, SKIPPED)]


class Runner:
    """Runs a plan.

    Args:
        jobs: Parents before children.
        store: Where results lie.
        interpreters: Package to Python, for packages that have their own.
        cores: CPU threads of all jobs that run at once.
        resume: Let interrupted jobs continue; otherwise they start again.
        overwrite: Run jobs that are done, too.
        line: Shows progress.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        store: Store,
        *,
        interpreters: Mapping[str, str] | None = None,
        cores: int = 0,
        resume: bool = True,
        overwrite: bool = False,
        line: ProgressLine | None = None,
    ) -> None:
        self.jobs = {job.label: job for job in jobs}
        self.store = store
        self.interpreters = dict(interpreters or {})
        self.cores = cores or available_cores()
        self.versions = {
            job.package: package_versions(job.package, self.interpreters) for job in self.jobs.values()
        }
        self._resume, self._overwrite = resume, overwrite
        self._line = line or ProgressLine("jobs")
        self._status = dict.fromkeys(self.jobs, WAITING)
        self._identities: dict[str, str] = {}
        self._processes: dict[str, Process] = {}
        self._ran: list[str] = []

    # --- what is there

    def identity(self, label: str) -> str:
        """Identity of a job, of its parents as far as they haven't failed."""
        if label not in self._identities:
            job = self.jobs[label]
            self._identities[label] = job.identity(
                self.versions[job.package],
                {name: [self.identity(parent) for parent in labels] for name, labels in self._inputs(job)},
            )
        return self._identities[label]

    def is_done(self, label: str) -> bool:
        """Whether the result of a job is there."""
        return self.store.is_done(self.identity(label), self.jobs[label].results)

    def seconds(self) -> dict[str, float]:
        """How long each job takes: as measured before, else as the suite says."""
        measured = self.store.seconds()
        return {label: measured.get(job.recipe, job.expected_s) for label, job in self.jobs.items()}

    def result(self, label: str) -> Path:
        """The file that a job writes."""
        return self.store.folder(self.identity(label)) / self.jobs[label].result

    def results(self, label: str) -> list[Path]:
        """All files that a job writes."""
        folder = self.store.folder(self.identity(label))
        return [folder / name for name in self.jobs[label].results]

    def command(self, label: str) -> list[str]:
        """The command line of a job."""
        job = self.jobs[label]
        files = {name: [item.path for item in recordings] for name, recordings in job.recordings.items()}
        files |= {
            name: [path for parent in labels for path in self.results(parent)]
            for name, labels in self._inputs(job)
        }
        out = Path(self.store.folder(self.identity(label)))
        start = command_line(job.package, self.interpreters, job.command)
        return [*start, *job.arguments(files), *job.arguments({"out": [out]})[len(job.settings) :]]

    def _inputs(self, job: Job) -> Iterator[tuple[str, list[str]]]:
        for name, labels in job.inputs.items():
            failed = (FAILED, SKIPPED) if name == job.optional else ()
            yield name, [label for label in labels if self._status[label] not in failed]

    # --- running

    def run(self) -> Outcome:
        """Run everything that isn't done.

        A job that fails is told of at once, with its log; only what needs it is left out.
        """
        costs = self.seconds()
        chains = longest_chains(self.jobs, costs)
        with terminating_signals_as_interrupts():
            try:
                while any(status not in SETTLED for status in self._status.values()):
                    news = self._reap()
                    for label in sorted(self.jobs, key=lambda label: -chains[label]):
                        news |= self._advance(label)
                    self._line.update(self._text(costs), news=news)
                    if not news:
                        time.sleep(POLL_S)
            except BaseException:
                self._stop()
                raise
            finally:
                self._line.close()
        done = [label for label in self.jobs if self._status[label] == DONE]
        return Outcome(dict(self._status), {label: self.result(label) for label in done}, self._ran)

    def _advance(self, label: str) -> bool:
        """Start a job, or settle it without; returns whether it has been settled."""
        job = self.jobs[label]
        if self._status[label] != WAITING or any(
            self._status[parent] not in SETTLED for parent in job.parents()
        ):
            return False
        inputs = dict(self._inputs(job))
        if any(
            not labels or {self._status[parent] for parent in labels} != {DONE} for labels in inputs.values()
        ):
            self._status[label] = SKIPPED
            self._line.say(f"skipped: {label}, since what it needs failed")
            return True
        if self.is_done(label) and not self._overwrite:
            self._status[label] = DONE
            return True
        busy = sum(self.jobs[running].threads for running in self._processes)
        if not self._processes or busy + job.threads <= self.cores:
            return self._start(label)
        return False

    def _start(self, label: str) -> bool:
        """Start a job unless another run is at it, or has just done it; returns whether it is done."""
        identity, job = self.identity(label), self.jobs[label]
        lock = self.store.lock(identity)
        if lock is None:
            return False
        if self.is_done(label) and not self._overwrite:
            os.close(lock)
            self._status[label] = DONE
            return True
        anew = self._overwrite or not self._resume
        if anew:
            self.store.forget(identity)
        extra = [] if not self.store.begun(identity) else ["overwrite=true" if anew else "resume=true"]
        self._processes[label] = Process(
            [*self.command(label), *extra], self.store.log(identity), threads=job.threads, lock=lock
        )
        self._status[label] = RUNNING
        self._ran.append(label)
        return False

    def _reap(self) -> bool:
        """Settle the jobs that have ended; returns whether there were any."""
        ended = {label: code for label, p in self._processes.items() if (code := p.poll()) is not None}
        for label, code in ended.items():
            process, identity = self._processes.pop(label), self.identity(label)
            if code == 0 and all(path.exists() for path in self.results(label)):
                self.store.finish(identity, Record(label, self.jobs[label].recipe, round(process.seconds, 2)))
                self._status[label] = DONE
            else:
                self._status[label] = FAILED
                self._line.say(self._failure(label, code, process.seconds))
            process.release()
        return bool(ended)

    def _failure(self, label: str, code: int, seconds: float) -> str:
        identity = self.identity(label)
        how = f"ended by signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if code == 0:
            missing = [path.name for path in self.results(label) if not path.exists()]
            how = f"wrote no {' and no '.join(missing)}"
        tail = "".join(f"\n    {line}" for line in self.store.tail(identity))
        log = self.store.log(identity)
        return f"failed: {label} ({how} after {duration(seconds)}), log: {log}{tail}"

    def _text(self, costs: Mapping[str, float]) -> str:
        left = {
            label: max(
                costs[label] - (self._processes[label].seconds if label in self._processes else 0), 0.0
            )
            for label, status in self._status.items()
            if status not in SETTLED
        }
        return self._line.text(
            total=len(self.jobs),
            done=sum(status == DONE for status in self._status.values()),
            failed=sum(status in (FAILED, SKIPPED) for status in self._status.values()),
            running=list(self._processes),
            left_s=wall_seconds([self.jobs[label] for label in left], left, self.cores),
        )

    def _stop(self) -> None:
        for process in self._processes.values():
            process.interrupt()
        for process in self._processes.values():
            process.end()
            process.release()


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def terminating_signals_as_interrupts() -> Iterator[None]:
    """Take SIGTERM and SIGHUP for Ctrl-C, so that children are ended with us."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        del number, frame
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
