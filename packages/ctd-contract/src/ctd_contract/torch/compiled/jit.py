"""How loops are compiled."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from numba import njit

Result = TypeVar("Result")

# Products and sums may be fused and divisions become products; NaN and infinity keep their meaning.
_ARITHMETIC = {"contract", "nsz", "arcp"}


def compiled(function: Callable[..., Result], signatures: Sequence[str] = ()) -> Callable[..., Result]:
    """Compile without the interpreter's lock.

    The code is kept in the package's ``__pycache__`` or, where that can't be written, in the user's cache
    folder; in ``NUMBA_CACHE_DIR`` if that is set.

    Args:
        function: To be compiled at its first call, for the types of the arguments.
        signatures: In numba's notation; if given, it is compiled at once and for these alone, which spares a
            copy of the code for every layout of an array.
    """
    make = partial(njit, nogil=True, fastmath=_ARITHMETIC, error_model="numpy")
    try:
        made = make(cache=True)(function)
    except RuntimeError:  # nowhere to keep it
        made = make()(function)
    source = Path(inspect.getfile(function))
    _forget(Path(made.stats.cache_path or source.parent), source)
    for signature in signatures:
        made.compile(signature)
    made.disable_compile(bool(signatures))
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
