"""Storage types: a cast that refuses to lose anything but float64's last digits."""

from __future__ import annotations

import numpy as np

from .errors import ContractError


def cast(array: np.ndarray, dtype: str, path: str) -> np.ndarray:
    """`array` in the type `dtype`.

    Raises:
        ContractError: If a value would change, beyond float64 rounded to float32.
    """
    target = np.dtype(dtype)
    if array.dtype == target:
        return array
    if array.dtype.kind not in "biuf":
        raise ContractError("CTD204", path, target.name, str(array.dtype), "convert the values to numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        result = array.astype(target)
        if target.kind == "f" and array.dtype.kind == "f":
            lossless = np.array_equal(np.isinf(result), np.isinf(array))
        else:
            lossless = np.array_equal(result.astype(array.dtype), array) and _same_sign(result, array)
    if not lossless:
        raise ContractError(
            "CTD605",
            path,
            f"values that {target.name} can hold",
            _offending(array, target),
            "mend the values",
        )
    return result


def _same_sign(result: np.ndarray, array: np.ndarray) -> bool:
    # A negative integer survives the way to an unsigned type of its width and back.
    return result.dtype.kind == array.dtype.kind or np.array_equal(result < 0, array < 0)


def _offending(array: np.ndarray, target: np.dtype) -> str:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return "a value that is not finite"
    if target.kind in "iu" and array.dtype.kind == "f" and (array != np.round(array)).any():
        return "a value that is no whole number"
    return f"values from {array.min()} to {array.max()}"
