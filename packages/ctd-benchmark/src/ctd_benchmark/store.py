"""Where results lie: a folder for each identity, with a lock, a log and a record beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

TAIL_LINES = 12
TAIL_BYTES = 20_000


@dataclass(frozen=True)
class Record:
    """What is kept of a job that ended well.

    Attributes:
        label: Its name in the plan that ran it.
        recipe: What runs of the same length share.
        seconds: How long it took.
    """

    label: str
    recipe: str
    seconds: float


class Store:
    """Results of jobs under one folder, shared by all suites and by runs at the same time.

    A job is done when its record and its result are there. The record is written by whoever holds the job's
    lock, after the command has ended well.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def folder(self, identity: str) -> Path:
        """The folder that a job's command writes to."""
        return self.root / identity

    def log(self, identity: str) -> Path:
        """What the command said, all attempts in turn."""
        return self.root / f"{identity}.log"

    def record(self, identity: str) -> Record | None:
        """The record of a job, None until it is done."""
        try:
            return Record(**json.loads(self._record(identity).read_text()))
        except FileNotFoundError:
            return None

    def is_done(self, identity: str, results: Sequence[str]) -> bool:
        """Whether the job has ended well and all its results are still there."""
        folder = self.folder(identity)
        return self._record(identity).exists() and all((folder / name).exists() for name in results)

    def begun(self, identity: str) -> bool:
        """Whether an earlier attempt left something."""
        return self.folder(identity).exists()

    def finish(self, identity: str, record: Record) -> None:
        """Say that a job is done."""
        partial = self._record(identity).with_suffix(f".{os.getpid()}.tmp")
        partial.write_text(json.dumps(asdict(record), indent=1))
        partial.replace(self._record(identity))

    def forget(self, identity: str) -> None:
        """Take a job for not done."""
        self._record(identity).unlink(missing_ok=True)

    def tail(self, identity: str) -> list[str]:
        """The last lines of a job's log; of a line that was drawn over, what stood there last."""
        path = self.log(identity)
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
        lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
        return [line for line in lines if line.strip()][-TAIL_LINES:]

    def seconds(self) -> dict[str, float]:
        """Longest time that each recipe took so far."""
        longest: dict[str, float] = {}
        for path in self.root.glob("*.json"):
            record = self.record(path.stem)
            if record is not None:
                longest[record.recipe] = max(record.seconds, longest.get(record.recipe, 0.0))
        return longest

    def lock(self, identity: str) -> int | None:
        """Take the job's lock; None where another process holds it.

        The lock is a file descriptor. A command that inherits it holds the lock for as long as it lives, so
        that a runner killed in the meantime never lets two commands into one folder.
        """
        import fcntl

        self.root.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.root / f"{identity}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        return handle

    def _record(self, identity: str) -> Path:
        return self.root / f"{identity}.json"
