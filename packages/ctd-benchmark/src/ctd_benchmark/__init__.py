"""Composes the commands of the other packages into a benchmark."""

from ctd_benchmark.leaderboard import Row, write_leaderboard
from ctd_benchmark.plan import Job, plan
from ctd_benchmark.runner import Outcome, Runner
from ctd_benchmark.store import Store
from ctd_benchmark.suite import Entry, Suite, load_suite

__all__ = [
    "Entry",
    "Job",
    "Outcome",
    "Row",
    "Runner",
    "Store",
    "Suite",
    "load_suite",
    "plan",
    "write_leaderboard",
]
