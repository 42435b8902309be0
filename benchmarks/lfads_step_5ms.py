"""A training step of LFADS at the size of MC_Maze_Large in bins of 5 ms, against a loop over bins."""

from __future__ import annotations

import json

from lfads_step import Size, measure_step

SIZE = Size(
    bins=(140, 180),
    neurons=(122, 162),
    initial_encoder=100,
    control_encoder=80,
    controller=80,
    initial=100,
    generator=100,
    factors=40,
)
REPEATS = 9


def measure() -> dict:
    """See ``measure_step``."""
    return measure_step("lfads_step_5ms", SIZE, repeats=REPEATS)


if __name__ == "__main__":
    print(json.dumps(measure()))
