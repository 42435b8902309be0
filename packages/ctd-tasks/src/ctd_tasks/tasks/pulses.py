"""Pulses of either sign on channels of their own, and the memory of the last one."""

from __future__ import annotations

import numpy as np


def signed_pulses(uniform: np.ndarray, probability: float) -> np.ndarray:
    """Return int8 pulses of -1, 0 and 1 from uniform numbers in [0, 1).

    Args:
        uniform: numbers of any shape.
        probability: of a pulse of each sign.
    """
    up, down = uniform > 1 - probability, uniform < probability
    return up.view(np.int8) - down.view(np.int8)


def last_pulse(pulses: np.ndarray) -> np.ndarray:
    """Return (trial, time, bit) whether the latest pulse up to each bin was +1; false before the first.

    Args:
        pulses: (trial, time, bit) of -1, 0 and 1, int8.
    """
    # Odd codes set, even ones reset, and a later pulse has the higher code: a running maximum is the memory.
    # Small integers keep it in cache.
    n_time = pulses.shape[1]
    order = np.arange(2, 2 * n_time + 2, 2, dtype=np.min_scalar_type(-2 * n_time - 2))
    code = order[:, None] * np.abs(pulses)
    code += pulses > 0
    return (np.maximum.accumulate(code, axis=1) & 1).astype(bool)
