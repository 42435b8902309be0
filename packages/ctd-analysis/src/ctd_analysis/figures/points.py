"""How a fixed point is drawn: by whether it is slow and by its number of unstable dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ctd_analysis.results import FixedPoints


@dataclass(frozen=True)
class Kind:
    """One kind of point.

    Attributes:
        name: In words.
        marker: matplotlib's marker.
        filled: Whether the marker is filled.
        symbol: plotly's symbol; empty for a small star of lines.
    """

    name: str
    marker: str | tuple[int, Literal[2], int]
    filled: bool
    symbol: str


KINDS = (
    Kind("stable fixed point", "o", True, "circle"),
    Kind("1 unstable dimension", "o", False, "circle-open"),
    Kind("2 unstable dimensions", "D", False, "diamond-open"),
    Kind("3 or more unstable dimensions", "s", False, "square-open"),
    Kind("slow point, not fixed", (6, 2, 0), True, ""),
)
SLOW = len(KINDS) - 1


def kind_of(points: FixedPoints) -> list[int]:
    """Index into `KINDS` of each point."""
    return [
        SLOW if slow else min(int(unstable), SLOW - 1)
        for slow, unstable in zip(points.is_slow, points.n_unstable, strict=True)
    ]
