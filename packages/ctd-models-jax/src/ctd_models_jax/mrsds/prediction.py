"""Fitted models of MR-SDS kept with what they are for, and applied to recordings that they have not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ctd_models_jax import saved
from ctd_models_jax.mrsds.config import MRSDSConfig
from ctd_models_jax.mrsds.joint import JointMRSDS
from ctd_models_jax.mrsds.model import MRSDS, Parameters
from ctd_models_jax.mrsds.sessions import Identity


def joint_model(identities: Sequence[Identity], family: str, settings: MRSDSConfig) -> JointMRSDS:
    """The model of these sessions."""
    models = [MRSDS(one.neuron_regions, one.held_in, one.n_inputs, family, settings) for one in identities]
    return JointMRSDS(tuple(one.name for one in identities), tuple(models))


def load(path: Path, notes: Mapping[str, Any]) -> tuple[JointMRSDS, Parameters, list[Identity]]:
    """The model, its parameters and its sessions.

    Raises:
        ValueError: The file is damaged.
    """
    identities = [Identity.of(plain) for plain in notes["sessions"]]
    model = joint_model(identities, notes["family"], saved.from_plain(MRSDSConfig, notes["settings"]))
    return model, saved.load_params(path, model.initialize), identities
