"""How loops are compiled."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from numba import njit

Result = TypeVar("Result")

# Products and sums may be fused and divisions become products; NaN and infinity keep their meaning.
_ARITHMETIC = {"contract", "nsz", "arcp"}


def compiled(function: Callable[..., Result]) -> Callable[..., Result]:
    """Compile at the first call, for the types of the arguments, without the interpreter's lock.

    The code is kept in the package's ``__pycache__`` or, where that can't be written, in the user's cache
    folder; in ``NUMBA_CACHE_DIR`` if that is set.
    """
    make = partial(njit, nogil=True, fastmath=_ARITHMETIC, error_model="numpy")
    try:
        made = make(cache=True)(function)
    except RuntimeError:  # nowhere to keep it
        return make()(function)
    source = Path(inspect.getfile(function))
    _forget(Path(made.stats.cache_path or source.parent), source)
    return made


def _forget(kept: Path, source: Path) -> None:
    """Remove what was kept of a module before its last change or before one of the loops that it may call.

    numba itself only looks at the module of the function.
    """
    changed = max(_newest(Path(__file__).parent), source.stat().st_mtime)
    for index in kept.glob(f"{source.stem}.*.nbi"):
        if index.stat().st_mtime < changed:
            index.unlink(missing_ok=True)


@cache
def _newest(folder: Path) -> float:
    return max(module.stat().st_mtime for module in folder.glob("*.py"))
