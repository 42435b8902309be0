"""Fitted models of MR-SDS kept with what they are for, and applied to recordings that they have not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from ctd_contract.command.sessions import session_names
from ctd_models_jax import checkpoint
from ctd_models_jax.mrsds.config import MRSDSConfig
from ctd_models_jax.mrsds.joint import JointMRSDS
from ctd_models_jax.mrsds.model import MRSDS, Parameters
from ctd_models_jax.mrsds.sessions import Identity, Session, different
from ctd_models_jax.saved import from_plain

MODEL = "mrsds"


def joint_model(identities: Sequence[Identity], family: str, settings: MRSDSConfig) -> JointMRSDS:
    """The model of these sessions."""
    models = [MRSDS(one.neuron_regions, one.held_in, one.n_inputs, family, settings) for one in identities]
    return JointMRSDS(tuple(one.name for one in identities), tuple(models))


def save(
    path: Path,
    params: Parameters,
    model: JointMRSDS,
    identities: Sequence[Identity],
    *,
    seed: int,
    config: Mapping[str, Any],
) -> None:
    """Write a fitted model, its settings and what its sessions are.

    Args:
        path: The file.
        params: Of all sessions.
        model: The model.
        identities: Of the sessions.
        seed: Of the fit.
        config: Of the fit, for provenance.
    """
    first = model.models[0]
    notes = {
        "model": MODEL,
        "settings": asdict(first.settings),
        "family": first.family,
        "sessions": [asdict(identity) for identity in identities],
        "seed": seed,
        "config": dict(config),
    }
    checkpoint.save(path, params, notes)


def load(path: Path, notes: Mapping[str, Any]) -> tuple[JointMRSDS, Parameters, list[Identity]]:
    """The model, its parameters and its sessions.

    Raises:
        ValueError: The file is damaged.
    """
    identities = [Identity.of(plain) for plain in notes["sessions"]]
    model = joint_model(identities, notes["family"], from_plain(MRSDSConfig, notes["settings"]))
    like, _ = eqx.filter_eval_shape(model.initialize, jax.random.key(0))
    return model, checkpoint.load(path, like), identities


def session_of(identities: Sequence[Identity], session: Session, name: str | None) -> int:
    """Position of the session that a recording is one of.

    Args:
        identities: Of the model's sessions.
        session: The recording.
        name: Which one it is; None to find it by the neurons, and among several by the recording's name.

    Raises:
        ValueError: It is none of them, or may be several.
    """
    names = [identity.name for identity in identities]
    if name is not None and name not in names:
        raise ValueError(f"session={name}: the model was fitted to {', '.join(names)}")
    asked = range(len(names)) if name is None else [names.index(name)]
    fitting, reasons = [], []
    for index in asked:
        found = different(identities[index].own, session.identity.own)
        if found is None:
            fitting.append(index)
        else:
            what, expected, got = found
            reasons.append(f"{names[index]} differs in the {what}: expected {expected}, got {got}")
    if not fitting:
        raise ValueError(f"{session.path} is no recording that the model is for; {'; '.join(reasons)}")
    own = session_names([session.identity.name])[0]
    chosen = [index for index in fitting if names[index] == own] or fitting
    if len(chosen) > 1:
        called = ", ".join(names[index] for index in chosen)
        raise ValueError(
            f"{session.path} fits several of the recordings that the model was fitted to: choose one with "
            f"session= one of {called}"
        )
    return chosen[0]
