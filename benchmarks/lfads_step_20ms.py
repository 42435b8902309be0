"""A training step of LFADS at the size of MC_Maze in bins of 20 ms, against a loop over bins."""

from __future__ import annotations

import json

from lfads_step import Size, measure_step

SIZE = Size(
    bins=(35, 45),
    neurons=(137, 182),
    initial_encoder=64,
    control_encoder=64,
    controller=64,
    initial=64,
    generator=200,
    factors=100,
)
REPEATS = 15


def measure() -> dict:
    """See ``measure_step``."""
    return measure_step("lfads_step_20ms", SIZE, repeats=REPEATS)


if __name__ == "__main__":
    print(json.dumps(measure()))
