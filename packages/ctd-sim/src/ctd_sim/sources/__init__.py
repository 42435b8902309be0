"""Where states come from: a task file today; anything that fills a `Source` joins here."""

from ctd_sim.sources.base import Source
from ctd_sim.sources.splits import redraw_splits
from ctd_sim.sources.task_file import task_source
from ctd_sim.sources.trim import trim

__all__ = ["Source", "redraw_splits", "task_source", "trim"]
