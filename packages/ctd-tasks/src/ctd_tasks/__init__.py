"""Task environments and recurrent networks trained on them.

Importing the package registers every task as a gymnasium environment (`gymnasium.make("ctd/FlipFlop-v0")`).
Networks (`ctd_tasks.networks`) and training (`ctd_tasks.training`) are imported by name: they need torch.
"""

from importlib.metadata import version

import ctd_contract.torch  # noqa: F401  # before torch itself, whose idle threads it calms
from ctd_tasks.environment import TaskEnvironment, environment_id, register
from ctd_tasks.tasks import (
    TASKS,
    BitMemory,
    ContextIntegration,
    FlipFlop,
    Rollout,
    Score,
    SineGeneration,
    Task,
    Trials,
)

__version__ = version("ctd-tasks")

for _task in (FlipFlop, BitMemory, ContextIntegration, SineGeneration):
    register(_task)

__all__ = [
    "TASKS",
    "BitMemory",
    "ContextIntegration",
    "FlipFlop",
    "Rollout",
    "Score",
    "SineGeneration",
    "Task",
    "TaskEnvironment",
    "Trials",
    "environment_id",
    "register",
]
