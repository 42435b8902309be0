"""Fitted models on disk: weights, settings and what recordings they are for, in one file without code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

from ctd_contract.torch.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from ctd_models_torch.base import LatentModel
from ctd_models_torch.build import build_sessions
from ctd_models_torch.config import ModelConfig, ReadoutConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.registry import MODELS, READOUTS, name_of
from ctd_models_torch.shape import Shape

FILE = "model.safetensors"
FORMAT = 3
T = TypeVar("T")


@dataclass
class SavedModel:
    """A fitted model and what belongs to it.

    Attributes:
        model: With its weights.
        kind: Its name in `MODELS`.
        shapes: The recordings that it is for: one, or each session.
        config: The whole configuration of the fit, for provenance.
        seed: Seed of the fit.
    """

    model: LatentModel
    kind: str
    shapes: list[Shape]
    config: dict[str, Any]
    seed: int

    @property
    def shape(self) -> Shape:
        """The recordings that a model of one is for."""
        (shape,) = self.shapes
        return shape

    def one_session(self, index: int) -> SavedModel:
        """The model of one of its sessions, with the same weights."""
        return replace(self, model=self.model.one_session(index), shapes=[self.shapes[index]])


def save_model(
    folder: Path, saved: SavedModel, model_config: ModelConfig, readout_config: ReadoutConfig
) -> None:
    """Write a fitted model to its run's folder."""
    tree = {
        "format": FORMAT,
        "model": {"name": saved.kind, **asdict(model_config)},
        "readout": {"name": name_of(readout_config), **asdict(readout_config)},
        "shapes": [asdict(shape) for shape in saved.shapes],
        "config": saved.config,
        "seed": saved.seed,
        "weights": dict(saved.model.state_dict()),
    }
    save_checkpoint(folder / FILE, tree)


def load_model(folder: str | Path) -> SavedModel:
    """Read a fitted model.

    Args:
        folder: The run's folder.

    Raises:
        InputError: There is none, or it is damaged or from a later version.
    """
    path = Path(folder) / FILE
    try:
        tree = load_checkpoint(path)
    except FileNotFoundError:
        raise InputError(f"there is no fitted model in {folder}: name the folder of a finished run") from None
    except CheckpointError as error:
        raise InputError(str(error)) from error
    if tree["format"] != FORMAT:
        raise InputError(
            f"{path} has the format {tree['format']}, this version reads {FORMAT}: update the package"
        )
    names = tree["model"].pop("name"), tree["readout"].pop("name")
    if names[0] not in MODELS:
        raise InputError(
            f"{path} holds a model {names[0]!r}, which is not registered here: import the module that "
            "registers it, from Python"
        )
    model_config = _dataclass(MODELS[names[0]], tree["model"])
    readout_config = _dataclass(READOUTS[names[1]], tree["readout"])
    shapes = [Shape(**shape) for shape in tree["shapes"]]
    model = build_sessions(model_config, readout_config, shapes, None)
    model.load_state_dict(tree["weights"])
    return SavedModel(model, names[0], shapes, tree["config"], tree["seed"])


def _dataclass(kind: type[T], values: Mapping[str, Any]) -> T:
    """A settings object, nested ones included, from plain data."""
    hints = get_type_hints(kind)
    given = {}
    for field in fields(cast(Any, kind)):
        value = values[field.name]
        given[field.name] = _dataclass(hints[field.name], value) if is_dataclass(hints[field.name]) else value
    return kind(**given)
