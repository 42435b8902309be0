"""The settings that every command has."""

from __future__ import annotations

from dataclasses import dataclass

# Where and how to run, not what: these never enter a run's identity.
OPERATIONAL = ("out", "resume", "overwrite", "debug")


@dataclass
class CommandConfig:
    """Settings of every command; a command's own dataclass adds its fields.

    Attributes:
        out: The run's folder; by default ``outputs/<command>/<hash of the configuration>``.
        seed: The run's seed, split into named streams.
        resume: Continue an interrupted run from its last checkpoint.
        overwrite: Replace what an earlier run left in the folder, once this one has finished.
        threads: CPU threads; part of a run's identity, since sums depend on it.
        debug: Show the traceback of an error.
    """

    out: str | None = None
    seed: int = 0
    resume: bool = False
    overwrite: bool = False
    threads: int = 2
    debug: bool = False
