"""Where files of a run come from."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, NamedTuple

PRODUCER = f"ctd-models-jax {version('ctd-models-jax')}"


class Origin(NamedTuple):
    """Where files come from.

    Attributes:
        name: What they are called in tables and figures.
        run: Id of the run.
        seed: Of the fit.
        config: Of the fit, resolved.
    """

    name: str
    run: str
    seed: int
    config: Mapping[str, Any]

    @property
    def provenance(self) -> dict[str, Any]:
        """What a file says of it; one that the same run, interrupted, left in its folder is replaced."""
        own = {"seed": self.seed, "run": self.run, "config": dict(self.config)}
        return {"producer": PRODUCER, **own, "overwrite": True}
