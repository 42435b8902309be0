"""Generation of 1000 flip-flop trials of 500 bins and 3 bits: all at once against a loop over trials."""

from __future__ import annotations

import json
import statistics
import time

from ctd_tasks import FlipFlop
from ctd_tasks.tasks import stream_generator
from ctd_tasks.testing import flip_flop_by_loop

N_TRIALS = 1000
REPEATS = 7
TASK = FlipFlop(n_bits=3, n_time=500)


def fast() -> None:
    TASK.generate(N_TRIALS, seed=0, stream="train")


def slow() -> None:
    flip_flop_by_loop(TASK, TASK.draws(stream_generator(0, "train", 0), N_TRIALS))


def measure() -> dict:
    """Time both sides in turn; medians in seconds."""
    times: dict = {fast: [], slow: []}
    for _ in range(REPEATS):
        for side, taken in times.items():
            start = time.perf_counter()
            side()
            taken.append(time.perf_counter() - start)
    fast_s, slow_s = (statistics.median(times[side][1:]) for side in (fast, slow))
    return {
        "name": "flip_flop_generation",
        "ratio": slow_s / fast_s,
        "fast_s": fast_s,
        "slow_s": slow_s,
    }


if __name__ == "__main__":
    print(json.dumps(measure()))
