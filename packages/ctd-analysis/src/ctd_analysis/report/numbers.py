"""How numbers are written."""

from __future__ import annotations

import math


def number(value: float | None) -> str:
    """Three decimals for numbers of everyday size, three digits for the others, a dash for none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0 or 1e-3 <= abs(value) < 10:
        return f"{value:.3f}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


def interval(low: float | None, high: float | None) -> str:
    """`[low, high]`, empty without one."""
    return "" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def spread(value: float) -> str:
    """A standard deviation with the decimals of its mean."""
    return number(value) if value >= 1e-3 else "<0.001"


def milliseconds(seconds: float) -> str:
    """A time constant in ms."""
    if not math.isfinite(seconds):
        return "∞"
    return f"{1e3 * seconds:.3g}".replace("-", "−")


def count(number_of: int, thing: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number_of} {thing}" if number_of == 1 else f"{number_of} {thing}s"


def listing(words: list[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
