"""Tasks: what networks are trained on. `TASKS` maps a registered task's name to its class."""

from ctd_tasks.tasks.base import BLOCK_TRIALS, STREAMS, Rollout, Score, Task, stream_generator
from ctd_tasks.tasks.flip_flop import FlipFlop
from ctd_tasks.tasks.trials import Trials

# Filled by `ctd_tasks.register`.
TASKS: dict[str, type[Task]] = {}

__all__ = [
    "BLOCK_TRIALS",
    "STREAMS",
    "TASKS",
    "FlipFlop",
    "Rollout",
    "Score",
    "Task",
    "Trials",
    "stream_generator",
]
