"""Models from settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from ctd_contract.torch.random import generator
from ctd_models_torch.autoencoder import SequentialAutoencoder
from ctd_models_torch.base import LatentModel
from ctd_models_torch.batch import View
from ctd_models_torch.config import (
    MODELS,
    TRAININGS,
    FitConfig,
    FlowReadoutConfig,
    GRUConfig,
    LDSConfig,
    LinearReadoutConfig,
    MLPReadoutConfig,
    ModelConfig,
    NODEConfig,
    ReadoutConfig,
    RNNConfig,
)
from ctd_models_torch.decoders import Decoder, GRUDecoder, LDSDecoder, NODEDecoder, RNNDecoder
from ctd_models_torch.encoder import BidirectionalEncoder
from ctd_models_torch.errors import InputError
from ctd_models_torch.losses import Gaussian, Poisson
from ctd_models_torch.readouts import FlowReadout, LinearReadout, MLPReadout, Readout
from ctd_models_torch.recording import Recording, Statistics

# Settings to what is built of them.
DECODERS: dict[type, Callable[..., Decoder]] = {
    LDSConfig: LDSDecoder,
    RNNConfig: RNNDecoder,
    GRUConfig: GRUDecoder,
    NODEConfig: NODEDecoder,
}
_READOUTS: dict[type, Callable[..., Readout]] = {
    LinearReadoutConfig: LinearReadout,
    MLPReadoutConfig: MLPReadout,
    FlowReadoutConfig: FlowReadout,
}
# What of a model's settings is the autoencoder's and not its decoder's.
_SHARED = frozenset(ModelConfig.__dataclass_fields__)


@dataclass(frozen=True)
class Shape:
    """What a model is made for, and what a recording must have to be given to it.

    Attributes:
        signal: ``"spikes"`` or ``"activity"``.
        neurons: Ids of the neurons, in order.
        held_out: For each of them, whether encoders never see it.
        seen_bins: Bins that the encoder reads.
        inputs: Known inputs: their signal, or None.
        input_size: Channels of it.
        bin_width_s: Width of a bin, s.
    """

    signal: str
    neurons: list[int]
    held_out: list[bool]
    seen_bins: list[int]
    inputs: str | None
    input_size: int
    bin_width_s: float

    @classmethod
    def of(cls, recording: Recording, window: int | None) -> Shape:
        """Take it from a recording."""
        file = recording.file
        return cls(
            signal=recording.signal,
            neurons=file.axis("neuron").tolist(),
            held_out=file.held_out.tolist(),
            seen_bins=recording.view(window).bins.tolist(),
            inputs=recording.input_signal,
            input_size=recording.input_size,
            bin_width_s=file.bin_width_s,
        )

    @property
    def view(self) -> View:
        """What encoders see."""
        neurons = np.flatnonzero(~np.asarray(self.held_out))
        return View(torch.tensor(self.seen_bins), torch.from_numpy(neurons))


def register(
    name: str,
    config: type[ModelConfig],
    decoder: Callable[..., Decoder],
    training: type[FitConfig] = FitConfig,
) -> None:
    """Add a sequential autoencoder with a decoder of one's own.

    Args:
        name: What it is called in files and as ``model=`` on the command line.
        config: Its settings; fields beyond those of `ModelConfig` go to the decoder by name.
        decoder: Called with (state_size, input_size, **own settings, generator=).
        training: Default training settings.
    """
    if MODELS.get(name, config) is not config:
        raise InputError(f"there is a model {name!r} already: choose another name")
    MODELS[name], TRAININGS[name], DECODERS[config] = config, training, decoder


def build_model(
    model: ModelConfig, readout: ReadoutConfig, shape: Shape, statistics: Statistics | None, *, seed: int = 0
) -> LatentModel:
    """Make a model with fresh weights.

    Args:
        model: Settings of the model.
        readout: Settings of its readout.
        shape: The recordings that it is for.
        statistics: Of the training trials: where the readout's bias starts and the encoder's scale. None
            where saved weights will replace them.
        seed: Of the run.
    """
    random = generator(seed, "initial weights")
    count = len(shape.neurons)
    known = statistics or Statistics(np.ones(count), np.ones(count))
    mean, variance = (torch.from_numpy(v).to(torch.float32) for v in (known.mean, known.variance))
    view = shape.view
    if shape.signal == "spikes":
        # A silent neuron still needs a finite log rate: that of half a spike in 10,000 bins.
        bias, observation = mean.clamp_min(5e-5).log(), Poisson()
    else:
        bias, observation = mean, Gaussian(variance)
    return SequentialAutoencoder(
        BidirectionalEncoder(len(view.neurons), model.encoder.size, generator=random),
        build_decoder(model, shape.input_size, random),
        build_readout(readout, model.size, bias, random),
        observation,
        view=view,
        **_scaling(model, view, mean, variance),
        dropout=model.dropout,
        coordinated_dropout=model.coordinated_dropout,
        generator=random,
    )


def build_decoder(model: ModelConfig, input_size: int, random: torch.Generator) -> Decoder:
    """Make the decoder of a model."""
    own = {name: value for name, value in asdict(model).items() if name not in _SHARED}
    return DECODERS[type(model)](model.size, input_size, **own, generator=random)


def build_readout(readout: ReadoutConfig, size: int, bias: torch.Tensor, random: torch.Generator) -> Readout:
    """Make a readout whose bias starts at ``bias`` (neuron,)."""
    return _READOUTS[type(readout)](size, bias, **asdict(readout), generator=random)


def _scaling(
    model: ModelConfig, view: View, mean: torch.Tensor, variance: torch.Tensor
) -> dict[str, torch.Tensor]:
    center, scale = mean[view.neurons], variance[view.neurons].sqrt()
    if not model.encoder.standardize:
        center, scale = torch.zeros_like(center), torch.ones_like(scale)
    return {"center": center, "scale": torch.where(scale > 0, scale, 1.0)}
