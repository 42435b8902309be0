"""Matrix products for compiled loops: those of the BLAS that torch itself uses."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from llvmlite import binding
from numba import types
from numpy.typing import NDArray

from ctd_contract.torch.compiled.blas import addresses
from ctd_contract.torch.compiled.jit import compiled

_POINTERS = types.void(*[types.intp] * 13)


def _external(name: str) -> Any:
    """Name a routine of BLAS for compiled code; by its name, so that the code can be kept on disk."""
    found = addresses()
    if found is None:
        raise ImportError("this build of torch does not show its BLAS: use the loops of torch's operations")
    symbol = f"ctd_contract_{name}"
    binding.add_symbol(symbol, found[name])
    return types.ExternalFunction(symbol, _POINTERS)


_single, _double = _external("sgemm"), _external("dgemm")

# Rows may lie apart.
_MATRICES = ("f4[:,:]", "f8[:,:]")


@partial(
    compiled, signatures=[f"({','.join(3 * [a])},b1,b1,i1[::1],{a[:2]}[::1],i4[::1])" for a in _MATRICES]
)
def _call(
    out: NDArray[Any], a: NDArray[Any], b: NDArray[Any], turn_a: bool, turn_b: bool,
    letters: NDArray[Any], scalars: NDArray[Any], sizes: NDArray[Any],
) -> None:  # fmt: skip
    """Pass addresses on. Only as arguments of a loop do arrays surely live until it ends."""
    letter, scalar, size = letters.ctypes.data, scalars.ctypes.data, sizes.ctypes.data
    a_at, b_at, out_at = a.ctypes.data, b.ctypes.data, out.ctypes.data
    if out.itemsize == 4:
        _single(
            letter + turn_b, letter + turn_a, size, size + 4, size + 8, scalar,
            b_at, size + 12, a_at, size + 16, scalar + 4, out_at, size + 20,
        )  # fmt: skip
    else:
        _double(
            letter + turn_b, letter + turn_a, size, size + 4, size + 8, scalar,
            b_at, size + 12, a_at, size + 16, scalar + 8, out_at, size + 20,
        )  # fmt: skip


@partial(compiled, signatures=[f"({','.join(3 * [a])},b1,b1,b1)" for a in _MATRICES])
def multiply(
    out: NDArray[Any], a: NDArray[Any], b: NDArray[Any], turn_a: bool, turn_b: bool, add: bool
) -> None:
    """Write ``a @ b`` to ``out``, or add it.

    Args:
        out: (row, column). The numbers of a row are neighbours in all three; rows may lie apart.
        a: (row, inner), or its transpose if ``turn_a``.
        b: (inner, column), or its transpose if ``turn_b``.
        turn_a: Whether ``a`` is given transposed.
        turn_b: Whether ``b`` is given transposed.
        add: Whether to add to what is there.
    """
    # BLAS counts columns first, so it is told to find out' = b' a'.
    letters = np.array([ord("N"), ord("T")], np.int8)
    scalars = np.array([1.0, 1.0 if add else 0.0], out.dtype)
    sizes = np.array(
        [
            out.shape[1],
            out.shape[0],
            a.shape[0] if turn_a else a.shape[1],
            max(b.strides[0] // b.itemsize, b.shape[1]),
            max(a.strides[0] // a.itemsize, a.shape[1]),
            max(out.strides[0] // out.itemsize, out.shape[1]),
        ],
        np.int32,
    )
    _call(out, a, b, turn_a, turn_b, letters, scalars, sizes)
