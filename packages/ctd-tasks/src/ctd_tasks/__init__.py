"""Task environments and recurrent networks trained on them.

Importing the package registers every task as a gymnasium environment (`gymnasium.make("ctd/FlipFlop-v0")`).
Networks (`ctd_tasks.networks`) and training (`ctd_tasks.training`) are imported by name: they need torch.
"""

from importlib.metadata import version

from ctd_tasks.environment import TaskEnvironment, environment_id, register
from ctd_tasks.tasks import TASKS, FlipFlop, Rollout, Score, Task, Trials

__version__ = version("ctd-tasks")

register(FlipFlop)

__all__ = [
    "TASKS",
    "FlipFlop",
    "Rollout",
    "Score",
    "Task",
    "TaskEnvironment",
    "Trials",
    "environment_id",
    "register",
]
