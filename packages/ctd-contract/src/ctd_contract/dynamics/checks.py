"""Checks that turn what a caller or a file gives into float64 parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .nonlinearity import FloatArray


def finite_array(name: str, value: ArrayLike, axes: Mapping[str, int | None]) -> FloatArray:
    """Return `value` as a read-only, finite float64 array with the axes asked for.

    Args:
        name: What the array is called in the error.
        value: Anything that NumPy reads as real numbers.
        axes: Name and length of each axis, in order; a length of None is free.

    Raises:
        TypeError: The values aren't real numbers.
        ValueError: The shape differs, or a value isn't finite.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}")
    array = np.array(array, dtype=np.float64)
    fits = array.ndim == len(axes) and all(
        size is None or size == got for size, got in zip(axes.values(), array.shape, strict=True)
    )
    if not fits:
        expected = ", ".join(axis if size is None else f"{axis}={size}" for axis, size in axes.items())
        raise ValueError(f"{name}: expected axes ({expected}), got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name}: expected finite values, got {np.count_nonzero(~np.isfinite(array))} that aren't"
        )
    array.setflags(write=False)
    return array


def finite_number(name: str, value: Any, *, above: float | None = None, least: float | None = None) -> float:
    """Return `value` as a finite float greater than `above` and not less than `least`."""
    if isinstance(value, str | bytes) or np.ndim(value) != 0:
        raise TypeError(f"{name}: expected one number, got {value!r}")
    number = float(value)
    too_small = (above is not None and number <= above) or (least is not None and number < least)
    if not np.isfinite(number) or too_small:
        bound = (
            f" above {above:g}"
            if above is not None
            else f" of at least {least:g}"
            if least is not None
            else ""
        )
        raise ValueError(f"{name}: expected a finite number{bound}, got {number!r}")
    return number


def whole_number(name: str, value: Any, *, least: int) -> int:
    """Return `value` as an int of at least `least`."""
    number = finite_number(name, value, least=least)
    if number != int(number):
        raise ValueError(f"{name}: expected a whole number, got {number!r}")
    return int(number)


def one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Return `value` when it is among `choices`."""
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
    return value
