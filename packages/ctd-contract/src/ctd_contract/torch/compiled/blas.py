"""Where torch's own BLAS keeps its matrix products."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import torch


@cache
def addresses() -> dict[str, int] | None:
    """Find the routines ``sgemm`` and ``dgemm`` in memory; None where torch does not show them.

    They heed `torch.set_num_threads` of the thread that calls them. torch shows them on Linux.
    """
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        routines = {name: getattr(library, f"{name}_") for name in ("sgemm", "dgemm")}
    except (OSError, AttributeError):
        return None
    found = {name: ctypes.cast(routine, ctypes.c_void_p).value for name, routine in routines.items()}
    return {name: address for name, address in found.items() if address is not None}
