"""Fitted models on disk: weights, and in the file's header what they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

from ctd_contract.command import UserError
from ctd_contract.command.sessions import quoted, unquoted
from ctd_models_jax import checkpoint

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


def read_notes(path: Path) -> dict[str, Any]:
    """What a fitted model belongs to; ``model`` is its name.

    Raises:
        UserError: There is no model that can be applied to recordings.
    """
    if not path.is_file():
        raise UserError(f"there is no fitted model in {path.parent}: name the folder of a finished run")
    try:
        notes = checkpoint.load_notes(path)
    except ValueError as error:
        raise UserError(str(error)) from error
    if "model" not in notes:
        raise UserError(f"{path} holds a model that predict= can't apply to recordings: fit it to them")
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
