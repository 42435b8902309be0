"""Aligning two files by the ids of their trials, never by position."""

from __future__ import annotations

import numpy as np

from .errors import ContractError
from .reader import ContractFile


def align(a: ContractFile, b: ContractFile, *, common: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `a` and of `b` that hold the same trials, in `a`'s order.

    Arguments:
        a: The file whose trials are wanted.
        b: The file to be brought into `a`'s order.
        common: Take the trials that both have; otherwise `b` must have all of `a`'s.

    Returns:
        Two index arrays of one length.

    Raises:
        ContractError: If `b` lacks trials of `a` and `common` is false, or if they share none.
    """
    ids_a, ids_b = a.axis("trial"), b.axis("trial")
    order = np.argsort(ids_b, kind="stable")
    position = np.searchsorted(ids_b, ids_a, sorter=order)
    found = np.zeros(len(ids_a), bool)
    inside = position < len(ids_b)
    found[inside] = ids_b[order[position[inside]]] == ids_a[inside]
    if not found.all() and (not common or not found.any()):
        missing = ids_a[~found]
        shown = ", ".join(map(str, missing[:5].tolist())) + (", ..." if len(missing) > 5 else "")
        raise ContractError(
            "CTD606",
            f"{b.path.name}:/trial",
            f"the {len(ids_a)} trials of {a.path.name}",
            f"{len(missing)} missing: {shown}",
            "use files of one recording, or align with common=True",
        )
    return np.flatnonzero(found), order[position[found]]
