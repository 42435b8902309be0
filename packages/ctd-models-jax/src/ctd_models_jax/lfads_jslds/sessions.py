"""The recordings of one fit, whose trials run side by side through the same bins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ctd_models_jax.sessions import Session, read, together


def read_together(paths: Sequence[str | Path], inputs: Sequence[str]) -> list[Session]:
    """Read the recordings of a fit.

    Raises:
        ContractError: A file is damaged.
        ValueError: One is there twice or is no recording, or they differ in what a model shares.
    """
    return together([read(path, inputs) for path in paths], shared)


def shared(session: Session) -> dict[str, object]:
    """What has to be the same in all recordings of a fit."""
    trials = session.recording.trials
    return session.identity.shared | {
        "number of bins": trials.values.shape[1],
        "forward bins": np.flatnonzero((trials.valid > trials.visible).any(0)).tolist(),
    }
