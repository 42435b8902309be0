"""Fitted models on disk: weights, and in the file's header what they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

import equinox as eqx
import jax

from ctd_contract.command import Run, UserError
from ctd_contract.command.sessions import quoted, unquoted
from ctd_models_jax import checkpoint
from ctd_models_jax.sessions import Identity

FILE = "model.safetensors"
T = TypeVar("T")


def model_file(run: str | Path) -> Path:
    """The model of a run.

    Args:
        run: Its folder, or a file in it.
    """
    path = Path(run)
    folder = path.parent if path.suffix in (".h5", ".json", ".safetensors") else path
    return folder / FILE


def name_model(argument: str) -> str:
    """Name the model that an argument ``predict=FOLDER`` stands for; others stay as they are."""
    key, _, value = argument.partition("=")
    return f"{key}={quoted(str(model_file(unquoted(value))))}" if key == "predict" and value else argument


def save(
    run: Run,
    params: Any,
    *,
    model: str,
    settings: Any,
    family: str,
    identities: Sequence[Identity],
    seed: int,
) -> None:
    """Keep a fitted model with what it takes to apply it to other recordings.

    Args:
        run: The run.
        params: The parameters.
        model: What the model is called.
        settings: A dataclass.
        family: Of the observations.
        identities: What each of its recordings is.
        seed: Of the fit.
    """
    notes = {
        "model": model,
        "settings": asdict(settings),
        "family": family,
        "sessions": [asdict(identity) for identity in identities],
        "seed": seed,
        "config": run.config,
    }
    checkpoint.save(run.folder / FILE, params, notes)


def load_params(path: Path, initialize: Any, *given: Any) -> Any:
    """The parameters of a fitted model.

    Args:
        path: The file.
        initialize: Draws such parameters from a key; says only of what structure they are.
        given: Its further arguments.

    Raises:
        ValueError: The file is damaged or holds another model.
    """
    like, _ = eqx.filter_eval_shape(initialize, jax.random.key(0), *given)
    return checkpoint.load(path, like)


def read_notes(path: Path, model: str | None = None) -> dict[str, Any]:
    """What a fitted model belongs to; ``model`` is its name.

    Args:
        path: The file.
        model: What it must be; None for any.

    Raises:
        UserError: There is no such model that can be applied to recordings.
    """
    if not path.is_file():
        raise UserError(f"there is no fitted model in {path.parent}: name the folder of a finished run")
    try:
        notes = checkpoint.load_notes(path)
    except ValueError as error:
        raise UserError(str(error)) from error
    if "model" not in notes:
        raise UserError(f"{path} holds a model that predict= can't apply to recordings: fit it to them")
    if model not in (None, notes["model"]):
        raise UserError(f"{path} holds {notes['model']}, not {model}: leave out model=")
    return notes


def from_plain(kind: type[T], values: Mapping[str, Any]) -> T:
    """A settings object, nested ones included, from plain data; what it doesn't name keeps its default."""
    hints, given = get_type_hints(kind), {}
    for field in fields(cast(Any, kind)):
        if field.name in values:
            value = values[field.name]
            nested = is_dataclass(hints[field.name])
            given[field.name] = from_plain(cast(Any, hints[field.name]), value) if nested else value
    return kind(**given)
