"""Sequential autoencoders from settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import torch

from ctd_models_torch.autoencoder.encoder import BidirectionalEncoder
from ctd_models_torch.autoencoder.model import SequentialAutoencoder
from ctd_models_torch.config import (
    AutoencoderConfig,
    GRUConfig,
    LDSConfig,
    NODEConfig,
    ReadoutConfig,
    RNNConfig,
)
from ctd_models_torch.decoders import Decoder, GRUDecoder, LDSDecoder, NODEDecoder, RNNDecoder
from ctd_models_torch.observations import make_observation
from ctd_models_torch.readouts.build import build_readout
from ctd_models_torch.recording import Statistics
from ctd_models_torch.shape import Shape
from ctd_models_torch.standardization import Standardization

# Settings to what is built of them.
DECODERS: dict[type, Callable[..., Decoder]] = {
    LDSConfig: LDSDecoder,
    RNNConfig: RNNDecoder,
    GRUConfig: GRUDecoder,
    NODEConfig: NODEDecoder,
}
# What of a model's settings is the autoencoder's and not its decoder's.
_SHARED = frozenset(AutoencoderConfig.__dataclass_fields__)


def build_autoencoder(
    model: AutoencoderConfig,
    readout: ReadoutConfig,
    shape: Shape,
    statistics: Statistics,
    random: torch.Generator,
) -> SequentialAutoencoder:
    """Make a sequential autoencoder; see `ctd_models_torch.build.build_model`."""
    view = shape.view
    observation, bias = make_observation(model.observation, shape.signal, statistics)
    return SequentialAutoencoder(
        BidirectionalEncoder(len(view.neurons), model.encoder.size, generator=random),
        build_decoder(model, shape.input_size, random),
        build_readout(readout, model.size, bias, random),
        observation,
        view=view,
        standardization=Standardization.of(view, statistics, on=model.encoder.standardize),
        dropout=model.dropout,
        coordinated_dropout=model.coordinated_dropout,
        generator=random,
    )


def build_decoder(model: AutoencoderConfig, input_size: int, random: torch.Generator) -> Decoder:
    """Make the decoder of a sequential autoencoder."""
    own = {name: value for name, value in asdict(model).items() if name not in _SHARED}
    return DECODERS[type(model)](model.size, input_size, **own, generator=random)
