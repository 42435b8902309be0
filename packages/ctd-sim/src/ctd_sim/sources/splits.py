"""Drawing train, valid and test trials anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ctd_sim.random_streams import stream
from ctd_sim.sources.base import Source


def redraw_splits(source: Source, fractions: Sequence[float] = (0.7, 0.1, 0.2), *, seed: int) -> Source:
    """The same trials, split at random.

    Args:
        source: The trials.
        fractions: Of train, valid and test; they add up to 1. The counts are the nearest whole numbers that
            add up to all trials.
        seed: Of the draw.
    """
    shares = np.asarray(fractions, np.float64)
    if shares.shape != (3,) or (shares < 0).any() or not np.isclose(shares.sum(), 1):
        raise ValueError(f"fractions are three numbers from 0 that add up to 1, got {list(fractions)}")
    n_trials = len(source.trial)
    edges = np.rint(np.cumsum(shares)[:2] * n_trials).astype(int)
    split = np.full(n_trials, 2, np.uint8)
    order = stream(seed, "splits").permutation(n_trials)
    split[order[: edges[1]]] = 1
    split[order[: edges[0]]] = 0
    return replace(source, split=split)
