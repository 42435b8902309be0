"""Bins past the end of a trial: zero in every file."""

from __future__ import annotations

import numpy as np


def zero_padding(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return `values` (trial, time, ...) with zeros past each trial's length (trial,), in bins."""
    if (lengths >= values.shape[1]).all():
        return values
    inside = np.arange(values.shape[1]) < lengths[:, None]
    return np.where(inside.reshape(*inside.shape, *(1,) * (values.ndim - 2)), values, values.dtype.type(0))
