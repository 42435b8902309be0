"""The digest that seals a file's content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

UNSEALED = frozenset({"ctd_id", "ctd_digest", "ctd_complete"})
OUTSIDE = "/provenance"


def line(path: str, dtype: str, shape: tuple[int, ...], content: str, attributes: Mapping[str, Any]) -> str:
    """One object's line: path, type, shape, SHA-256 of its bytes in C order, attributes.

    A group has an empty type and content and the shape ().
    """
    if path == "/":
        attributes = {name: value for name, value in attributes.items() if name not in UNSEALED}
    return json.dumps([path, dtype, list(shape), content, attributes], sort_keys=True, ensure_ascii=False)


def sha256(array: np.ndarray) -> str:
    """SHA-256 of an array's bytes in C order, as hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(array).data if array.size else b"").hexdigest()


def seal(lines: Iterable[str]) -> str:
    """SHA-256 over the sorted lines, as hexadecimal digits."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def is_sealed(path: str) -> bool:
    """Whether the object at `path` is covered by the digest."""
    return path != OUTSIDE and not path.startswith(OUTSIDE + "/")
