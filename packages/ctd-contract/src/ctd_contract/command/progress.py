"""One line of progress on a terminal; a log line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOG_EVERY_S = 30.0
DRAW_EVERY_S = 0.2


class Progress:
    """Counts steps of one job and says how fast they go and how long the rest takes."""

    def __init__(self, total: int | None, label: str) -> None:
        self.total, self.label, self.done = total, label, 0
        self._figures: dict[str, object] = {}
        self._start = self._shown = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def advance(self, n: int = 1, **figures: object) -> None:
        """Count n further steps; figures (a loss, a score) stand at the end of the line."""
        self.done += n
        self._figures.update(figures)
        now = time.monotonic()
        if now - self._shown >= (DRAW_EVERY_S if self._terminal else LOG_EVERY_S):
            self._shown = now
            self._write(end="" if self._terminal else "\n")

    def line(self) -> str:
        """The line as it stands now."""
        elapsed = time.monotonic() - self._start
        rate = self.done / elapsed if elapsed > 0 else 0.0
        parts = [f"{self.label} {self.done}" + (f"/{self.total}" if self.total else "")]
        if self.done:
            parts.append(f"{rate:.3g}/s" if rate >= 1 else f"{1 / rate:.3g} s each")
            if self.total and self.done < self.total:
                parts.append(f"{_duration((self.total - self.done) / rate)} left")
            elif self.total:
                parts.append(f"took {_duration(elapsed)}")
        parts += [f"{k} {_figure(v)}" for k, v in self._figures.items()]
        return ", ".join(parts)

    def close(self) -> None:
        """Write the last line and leave the terminal on a fresh one."""
        self._write(end="\n")

    def _write(self, end: str) -> None:
        start = "\r\x1b[2K" if self._terminal else ""
        sys.stderr.write(f"{start}{self.line()}{end}")
        sys.stderr.flush()


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


@contextmanager
def progress(total: int | None, label: str) -> Iterator[Progress]:
    """Show the progress of a job of `total` steps (None: unknown).

    Example:
        >>> with progress(3, "reading") as bar:  # doctest: +SKIP
        ...     for _ in range(3):
        ...         bar.advance(loss=0.5)
    """
    bar = Progress(total, label)
    try:
        yield bar
    finally:
        bar.close()
