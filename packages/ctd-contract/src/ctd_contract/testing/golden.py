"""Golden files: one of each kind and version, read by every package's tests."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "golden"
GOLDEN_DIGESTS: dict[str, str] = {}


def golden_path(kind: str, version: str = "1.0") -> Path:
    """Path of the golden file of a kind (``task``, ``recording``, ``inference``, ``analysis``)."""
    path = FOLDER / f"{kind}-{version}.h5"
    if not path.is_file():
        raise ValueError(f"no golden file of kind {kind!r} and version {version!r}")
    return path
