"""The binary tournament between the members of a population, and when it stops (Keshtkaran et al. 2022)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ctd_contract.torch.random import generator


def worse(score: float, mode: str) -> float:
    """A number that is larger the worse a score is; a score that is no number is the worst."""
    signed = score if mode == "min" else -score
    return signed if math.isfinite(signed) else math.inf


def parents(scores: Sequence[float], mode: str, seed: int, generation: int) -> list[int]:
    """Let shuffled pairs of members compete; an odd one out sits the generation out.

    Args:
        scores: Of the members.
        mode: ``"min"`` or ``"max"``.
        seed: Of the search.
        generation: From 0.

    Returns:
        For each member whose copy it becomes: its own position for winners.
    """
    stream = generator(seed, "tournament", generation)
    order = torch.randperm(len(scores), generator=stream).tolist()
    result = list(range(len(scores)))
    for one, other in zip(order[::2], order[1::2], strict=False):
        costs = worse(scores[one], mode), worse(scores[other], mode)
        if math.isinf(min(costs)):
            continue
        winner, loser = (one, other) if costs[0] <= costs[1] else (other, one)
        result[loser] = winner
    return result


def settled(best: Sequence[float], generations: int, ratio: float | None) -> bool:
    """Whether the improvement ratio of the last generations' best scores is small enough to stop.

    Args:
        best: Best score of each generation, smaller is better.
        generations: How many of the last ones are looked at.
        ratio: See `StopConfig`; None never stops.
    """
    if ratio is None or len(best) < generations:
        return False
    last = best[-generations:]
    size = sum(map(abs, last)) / generations
    return last[0] - min(last) <= ratio * size
