"""Tasks: what networks are trained on. `TASKS` maps a registered task's name to its class."""

from ctd_tasks.tasks.base import BLOCK_TRIALS, STREAMS, Rollout, Score, Task, stream_generator
from ctd_tasks.tasks.bit_memory import BitMemory
from ctd_tasks.tasks.context_integration import ContextIntegration
from ctd_tasks.tasks.flip_flop import FlipFlop
from ctd_tasks.tasks.sine_generation import SineGeneration
from ctd_tasks.tasks.trials import Trials

# Filled by `ctd_tasks.register`.
TASKS: dict[str, type[Task]] = {}

__all__ = [
    "BLOCK_TRIALS",
    "STREAMS",
    "TASKS",
    "BitMemory",
    "ContextIntegration",
    "FlipFlop",
    "Rollout",
    "Score",
    "SineGeneration",
    "Task",
    "Trials",
    "stream_generator",
]
