"""A recording that is there before the suite runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Recording:
    """A recording from a path.

    Attributes:
        path: The file.
        digest: Of its content, which identifies it whatever it is called.
    """

    path: Path
    digest: str

    @classmethod
    def at(cls, path: str) -> Recording:
        """Look at the recording there.

        Raises:
            ValueError: There is none, or it can't be read.
        """
        import ctd_contract as cc

        if not Path(path).is_file():
            raise ValueError(f"there is no recording {path}")
        with cc.open(path) as file:
            if file.kind != "recording":
                raise ValueError(f"{path} is a file of kind {file.kind}, expected a recording")
            return cls(Path(path).resolve(), file.digest)
