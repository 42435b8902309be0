"""Models of recordings, fresh ones and fitted ones that are applied to recordings they have not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ctd_models_jax import saved
from ctd_models_jax.lfads_jslds.config import LFADSJSLDSConfig
from ctd_models_jax.lfads_jslds.model import LFADSJSLDS, Parameters
from ctd_models_jax.sessions import Identity, Session


def model_of(identities: Sequence[Identity], settings: LFADSJSLDSConfig) -> LFADSJSLDS:
    """The model that settings describe, for the neurons and inputs of recordings.

    Raises:
        ValueError: The settings don't fit the recordings.
    """
    first = identities[0]
    family = settings.family or ("poisson" if first.signal == "spikes" else "gaussian")
    if (family == "poisson") != (first.signal == "spikes"):
        raise ValueError(f"model.family={family} can't describe {first.signal}")
    return LFADSJSLDS(tuple(one.held_in for one in identities), first.n_inputs, family, settings)


def check_bins(settings: LFADSJSLDSConfig, session: Session) -> None:
    """Refuse a recording whose trials end before its controller hears of them.

    Raises:
        ValueError: So many bins are the initial state's, or lie between it and what the encoder read.
    """
    n_time, bins = session.recording.trials.values.shape[1], settings.encoder.bins or 0
    lag = settings.controller.lag
    if settings.controls and bins >= n_time:
        raise ValueError(
            f"model.encoder.bins={bins} leaves the controller none of {n_time} bins: take fewer, or null"
        )
    if settings.controls and lag >= n_time - bins:
        raise ValueError(
            f"model.controller.lag={lag} leaves the controller nothing of {n_time - bins} bins: take fewer"
        )


def load(path: Path, notes: Mapping[str, Any]) -> tuple[LFADSJSLDS, Parameters, list[Identity]]:
    """The model, its parameters and what its recordings are.

    Raises:
        ValueError: The file is damaged.
    """
    identities = [Identity.of(plain) for plain in notes["sessions"]]
    model = model_of(identities, saved.from_plain(LFADSJSLDSConfig, notes["settings"]))
    ones = [np.ones(len(one.neurons), np.float32) for one in identities]
    return model, saved.load_params(path, model.initialize, ones, ones), identities
