"""One line that says how a suite gets on."""

from __future__ import annotations

import sys
import time
from typing import TextIO

DRAW_EVERY_S = 0.2
LOG_EVERY_S = 30.0
WIDTH = 110


class ProgressLine:
    """Drawn over on a terminal; elsewhere written when a job ends, and now and then.

    Args:
        name: Of the suite.
        stream: Where to; standard error by default.
    """

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self._name = name
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._start = time.monotonic()
        self._shown = -float("inf")
        self._drawn = False

    def text(self, *, total: int, done: int, failed: int, running: list[str], left_s: float | None) -> str:
        """The line: jobs done of all, failed and running ones, time gone and time left."""
        parts = [f"{self._name} {done}/{total} done"]
        if failed:
            parts.append(f"{failed} failed")
        if running:
            parts.append(f"{len(running)} running ({', '.join(running)})")
        parts.append(f"{duration(time.monotonic() - self._start)} gone")
        if left_s is not None and running:
            parts.append(f"about {duration(left_s)} left")
        return ", ".join(parts)

    def update(self, text: str, *, news: bool = False) -> None:
        """Show the line; `news` says that a job has ended."""
        now = time.monotonic()
        if not news and now - self._shown < (DRAW_EVERY_S if self._terminal else LOG_EVERY_S):
            return
        self._shown = now
        if self._terminal:
            self._stream.write(f"\r\x1b[2K{text if len(text) <= WIDTH else text[: WIDTH - 3] + '...'}")
            self._drawn = True
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def say(self, text: str) -> None:
        """Write lines that stay, above the progress line."""
        self._stream.write(("\r\x1b[2K" if self._drawn else "") + text + "\n")
        self._stream.flush()
        self._drawn = False

    def close(self) -> None:
        """Leave the terminal on a fresh line."""
        if self._drawn:
            self._stream.write("\n")
            self._drawn = False


def duration(seconds: float) -> str:
    """Seconds as a person would say them."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
