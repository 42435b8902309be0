"""A command of another package as a child process."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

GRACE_S = 10.0
# Each library reads its own number of threads.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class Process:
    """A running command.

    Args:
        arguments: Program and arguments.
        log: File that what it says is added to.
        threads: CPU threads that its libraries may use.
        lock: Descriptor that it holds on to for as long as it lives; the caller's is closed.
    """

    def __init__(self, arguments: Sequence[str], log: Path, *, threads: int, lock: int) -> None:
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "PYTHONUNBUFFERED": "1"}
        self._start = time.monotonic()
        try:
            with log.open("ab") as stream:
                stream.write(f"$ {shlex.join(arguments)}\n".encode())
                stream.flush()
                self._child = subprocess.Popen(
                    arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    pass_fds=(lock,),
                    # A group of its own: an interrupt reaches it once, from us, with all that it started.
                    start_new_session=True,
                )
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock

    @property
    def seconds(self) -> float:
        """Time since it started."""
        return time.monotonic() - self._start

    def poll(self) -> int | None:
        """The exit code, None while it runs; negative where a signal ended it."""
        return self._child.poll()

    def release(self) -> None:
        """Let go of the lock."""
        os.close(self._lock)

    def interrupt(self) -> None:
        """Ask it to stop, as Ctrl-C does."""
        self._signal(signal.SIGINT)

    def end(self) -> None:
        """Wait until it has stopped; after a grace period, make it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(GRACE_S)
        self._signal(signal.SIGKILL)
        self._child.wait()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)
