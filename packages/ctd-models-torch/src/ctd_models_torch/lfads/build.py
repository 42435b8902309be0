"""LFADS from settings."""

from __future__ import annotations

import torch

from ctd_models_torch.config import ReadoutConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.lfads.config import LFADSConfig
from ctd_models_torch.lfads.decoder import Controller, LFADSDecoder
from ctd_models_torch.lfads.encoders import Encoder
from ctd_models_torch.lfads.generators import make_generator
from ctd_models_torch.lfads.model import LFADS
from ctd_models_torch.lfads.priors import make_prior
from ctd_models_torch.observations import make_observation
from ctd_models_torch.readouts.build import build_readout
from ctd_models_torch.recording import Statistics
from ctd_models_torch.shape import Shape
from ctd_models_torch.standardization import Standardization


def build_lfads(
    model: LFADSConfig, readout: ReadoutConfig, shape: Shape, statistics: Statistics, random: torch.Generator
) -> LFADS:
    """Make LFADS; see `ctd_models_torch.build.build_model`."""
    view, has_controller = shape.view, model.controller.exists
    _check_segment(model, len(view.bins))
    if model.augmentation.jitter_bins and shape.signal != "spikes":
        raise InputError("augmentation.jitter_bins moves spikes, and the recording has activity: set it to 0")
    observation, bias = make_observation(model.observation, shape.signal, statistics)
    neurons, units, controls = len(view.neurons), model.generator, model.controller
    encoder = Encoder(neurons, model.encoder.size, units, generator=random)
    control_encoder, controller = None, None
    if has_controller:
        control_encoder = Encoder(
            neurons, controls.encoder_size, units, causal=controls.causal, generator=random
        )
        controller = Controller(controls, model.factors, random=random)
    drive = shape.input_size + (controls.controls if has_controller else 0)
    decoder = LFADSDecoder(
        make_generator(units, model.size, drive, random),
        controller,
        model.factors,
        reset=units.reset,
        clip=units.clip,
        random=random,
    )
    return LFADS(
        model,
        encoder=encoder,
        control_encoder=control_encoder,
        decoder=decoder,
        readout=build_readout(readout, model.factors, bias, random),
        observation=observation,
        initial_prior=make_prior(model.initial_prior, model.initial_condition),
        control_prior=make_prior(model.control_prior, controls.controls) if has_controller else None,
        view=view,
        standardization=Standardization.of(view, statistics, on=model.encoder.standardize),
        input_size=shape.input_size,
        random=random,
    )


def _check_segment(model: LFADSConfig, seen: int) -> None:
    bins = model.encoder.bins
    if model.controller.exists and bins is not None and bins >= seen:
        raise InputError(
            f"encoder.bins={bins} leaves the controller's encoder nothing of the {seen} bins that may be "
            f"seen: take at most {seen - 1}, or null for both encoders to read all of them"
        )
