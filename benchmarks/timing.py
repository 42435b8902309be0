"""Times two ways of doing the same thing in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def compare(name: str, fast: Callable[[], object], slow: Callable[[], object], *, repeats: int) -> dict:
    """Run both sides in turn, once unmeasured and then ``repeats`` times; medians in seconds.

    A side that returns a float has taken its time itself.
    """
    taken: dict[Callable, list[float]] = {slow: [], fast: []}
    for _ in range(repeats + 1):
        for side, times in taken.items():
            start = time.perf_counter()
            own = side()
            times.append(own if isinstance(own, float) else time.perf_counter() - start)
    fast_s, slow_s = (statistics.median(taken[side][1:]) for side in (fast, slow))
    return {"name": name, "ratio": slow_s / fast_s, "fast_s": fast_s, "slow_s": slow_s}


def agree(fast: dict, slow: dict, tolerance: float = 1e-9) -> float:
    """Largest difference of named tensors, relative to the largest entry; too large is an error."""
    worst = 0.0
    for name, expected in slow.items():
        difference = ((fast[name] - expected).abs().max() / expected.abs().max()).item()
        if not difference <= tolerance:
            raise RuntimeError(f"the two sides differ by {difference:.2g} in {name}, more than {tolerance:g}")
        worst = max(worst, difference)
    return worst
