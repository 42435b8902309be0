"""Models from settings: each kind of settings has a builder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ctd_contract.torch.random import generator
from ctd_models_torch.autoencoder.build import DECODERS, build_autoencoder
from ctd_models_torch.base import LatentModel
from ctd_models_torch.config import (
    FitConfig,
    GRUConfig,
    LDSConfig,
    ModelConfig,
    NODEConfig,
    ReadoutConfig,
    RNNConfig,
    SmootherConfig,
)
from ctd_models_torch.decoders import Decoder
from ctd_models_torch.errors import InputError
from ctd_models_torch.lfads.behavior_config import BANDConfig
from ctd_models_torch.lfads.build import build_lfads
from ctd_models_torch.lfads.config import LFADSConfig
from ctd_models_torch.multi_region.build import build_mr_lfads
from ctd_models_torch.multi_region.config import MRLFADSConfig
from ctd_models_torch.recording import Statistics
from ctd_models_torch.registry import MODELS, TRAININGS, name_of
from ctd_models_torch.shape import Shape
from ctd_models_torch.smoother import build_smoother

# Makes a model with fresh weights of its settings, its readout's, the recordings it is for, statistics of the
# training trials, and the stream of the initial weights.
Builder = Callable[[Any, ReadoutConfig, Shape, Statistics, torch.Generator], LatentModel]
# Likewise of all recordings of a fit.
SessionsBuilder = Callable[
    [Any, ReadoutConfig, Sequence[Shape], Sequence[Statistics], torch.Generator], LatentModel
]
BUILDERS: dict[type[ModelConfig], Builder] = {
    LDSConfig: build_autoencoder,
    RNNConfig: build_autoencoder,
    GRUConfig: build_autoencoder,
    NODEConfig: build_autoencoder,
    MRLFADSConfig: build_mr_lfads,
    SmootherConfig: build_smoother,
}
SESSIONS_BUILDERS: dict[type[ModelConfig], SessionsBuilder] = {
    LFADSConfig: build_lfads,
    BANDConfig: build_lfads,
}


def register_model(
    name: str, config: type[ModelConfig], build: Builder, training: type[FitConfig] = FitConfig
) -> None:
    """Add a model of one's own.

    Args:
        name: What it is called in files and as ``model=`` on the command line.
        config: Its settings.
        build: Called with (settings, settings of the readout, `Shape` of the recordings, `Statistics` of the
            training trials, generator of the initial weights).
        training: Default training settings.
    """
    if MODELS.get(name, config) is not config:
        raise InputError(f"there is a model {name!r} already: choose another name")
    MODELS[name], TRAININGS[name], BUILDERS[config] = config, training, build


def register(
    name: str,
    config: type[ModelConfig],
    decoder: Callable[..., Decoder],
    training: type[FitConfig] = FitConfig,
) -> None:
    """Add a sequential autoencoder with a decoder of one's own.

    Args:
        name: What it is called in files and as ``model=`` on the command line.
        config: Its settings; fields beyond those of `AutoencoderConfig` go to the decoder by name.
        decoder: Called with (state_size, input_size, **own settings, generator=).
        training: Default training settings.
    """
    register_model(name, config, build_autoencoder, training)
    DECODERS[config] = decoder


def build_model(
    model: ModelConfig, readout: ReadoutConfig, shape: Shape, statistics: Statistics | None, *, seed: int = 0
) -> LatentModel:
    """Make a model of one recording with fresh weights; see `build_sessions`."""
    return build_sessions(model, readout, [shape], None if statistics is None else [statistics], seed=seed)


def build_sessions(
    model: ModelConfig,
    readout: ReadoutConfig,
    shapes: Sequence[Shape],
    statistics: Sequence[Statistics] | None,
    *,
    seed: int = 0,
) -> LatentModel:
    """Make a model of one or several recordings with fresh weights.

    Args:
        model: Settings of the model.
        readout: Settings of its readout.
        shapes: The recordings that it is for.
        statistics: Of each one's training trials: where the readout's bias starts and the encoder's scale.
            None where saved weights will replace them.
        seed: Of the run.

    Raises:
        InputError: The settings contradict each other or a recording, or are of no registered kind; or
            there are several recordings and the model is of one.
    """
    name, random = name_of(model), generator(seed, "initial weights")
    known = statistics or [Statistics.neutral(len(shape.neurons), shape.behavior) for shape in shapes]
    try:
        if type(model) in SESSIONS_BUILDERS:
            return SESSIONS_BUILDERS[type(model)](model, readout, shapes, known, random)
        if len(shapes) > 1:
            several = " or ".join(f"model={name_of(kind())}" for kind in SESSIONS_BUILDERS)
            raise InputError(
                f"model={name} is fitted to one recording, got {len(shapes)}: {several} takes several"
            )
        return BUILDERS[type(model)](model, readout, shapes[0], known[0], random)
    except ValueError as error:
        raise InputError(str(error)) from error
