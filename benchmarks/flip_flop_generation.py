"""Generation of 1000 flip-flop trials of 500 bins and 3 bits: all at once against a loop over trials."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from timing import compare

from ctd_tasks import FlipFlop, Trials
from ctd_tasks.tasks import BLOCK_TRIALS, stream_generator
from ctd_tasks.tasks.flip_flop import FlipFlopDraws
from ctd_tasks.tasks.trials import gather
from ctd_tasks.testing import flip_flop_by_loop

N_TRIALS = 1000
TASK = FlipFlop(n_bits=3, n_time=500)


def fast() -> Trials:
    return TASK.generate(N_TRIALS, seed=0, stream="train")


def slow() -> Trials:
    return gather(looped_blocks(), N_TRIALS)


def looped_blocks() -> Iterator[Trials]:
    """The same random numbers, block by block, but no more trials than asked for."""
    for index, start in enumerate(range(0, N_TRIALS, BLOCK_TRIALS)):
        draws = TASK.draws(stream_generator(0, "train", index), BLOCK_TRIALS)
        rows = slice(0, N_TRIALS - start)
        yield flip_flop_by_loop(TASK, FlipFlopDraws(*(values[rows] for values in draws)))


def measure() -> dict:
    ours, plain = fast().flat(), slow().flat()
    if not all(np.array_equal(ours[name], plain[name]) for name in plain):
        raise RuntimeError("the two sides give different trials")
    return compare("flip_flop_generation", fast, slow, repeats=7)


if __name__ == "__main__":
    print(json.dumps(measure()))
