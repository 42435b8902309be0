"""Random streams that depend on nothing but the seed, a name and a fixed block of trials.

How the trials are cut for reading and writing, how many workers there are and where a run stopped never
changes a draw: every stream belongs to a logical block of 256 trials, and within a block the trials follow
one another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

BLOCK_TRIALS = 256


def stream(seed: int, name: str, block: int = 0) -> np.random.Generator:
    """Generator of one named stream.

    Args:
        seed: The run's seed, zero or larger.
        name: What the numbers are for: streams of other names are independent.
        block: Logical block of 256 trials, for draws that belong to trials.
    """
    if seed < 0:
        raise ValueError(f"a seed is zero or larger, got {seed}")
    words = np.frombuffer(hashlib.sha256(name.encode()).digest()[:16], "<u4")
    key = (*(int(word) for word in words), block)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def blocks(n_trials: int, chunk: int) -> Iterator[tuple[int, slice]]:
    """Cut trials into chunks of at most `chunk` that never cross a logical block.

    Yields:
        The logical block and the rows of each chunk, in order.
    """
    if chunk < 1:
        raise ValueError(f"a chunk holds at least one trial, got {chunk}")
    for block, first in enumerate(range(0, n_trials, BLOCK_TRIALS)):
        last = min(first + BLOCK_TRIALS, n_trials)
        for start in range(first, last, chunk):
            yield block, slice(start, min(start + chunk, last))
