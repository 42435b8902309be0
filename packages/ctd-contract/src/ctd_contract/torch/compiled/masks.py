"""Random masks."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ctd_contract.torch.compiled.jit import compiled


@compiled
def choose(numbers: NDArray[Any], below: int, value: float, out: NDArray[Any]) -> None:
    """Write ``value`` where the number is small enough and else 0."""
    yes, no = out.dtype.type(value), out.dtype.type(0)
    for i in range(len(out)):
        out[i] = yes if numbers[i] < below else no
