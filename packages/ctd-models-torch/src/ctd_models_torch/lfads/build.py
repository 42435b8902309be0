"""LFADS from settings."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ctd_contract.torch.random import generator
from ctd_models_torch.config import ReadoutConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.lfads.behavior import BehaviorReadout
from ctd_models_torch.lfads.behavior_config import BANDConfig
from ctd_models_torch.lfads.behavior_decoders import make_decoder
from ctd_models_torch.lfads.config import LFADSConfig
from ctd_models_torch.lfads.decoder import Controller, LFADSDecoder
from ctd_models_torch.lfads.encoders import Encoder
from ctd_models_torch.lfads.generators import make_generator
from ctd_models_torch.lfads.model import LFADS
from ctd_models_torch.lfads.priors import make_prior
from ctd_models_torch.lfads.read_in import ReadIn
from ctd_models_torch.lfads.session_parts import SessionParts
from ctd_models_torch.observations import make_observation
from ctd_models_torch.readouts.build import build_readout
from ctd_models_torch.recording import Statistics
from ctd_models_torch.shape import Shape
from ctd_models_torch.standardization import Standardization


def build_lfads(
    model: LFADSConfig,
    readout: ReadoutConfig,
    shapes: Sequence[Shape],
    statistics: Sequence[Statistics],
    random: torch.Generator,
) -> LFADS:
    """Make LFADS of one or several recordings; see `ctd_models_torch.build.build_sessions`."""
    first, controls = shapes[0], model.controller
    for shape in shapes:
        _check(model, shape)
    read_in = _channels(model, shapes)
    channels = read_in or len(first.view.neurons)
    encoder = Encoder(channels, model.encoder.size, model.generator, generator=random)
    control_encoder, controller = None, None
    if controls.exists:
        control_encoder = Encoder(
            channels, controls.encoder_size, model.generator, causal=controls.causal, generator=random
        )
        controller = Controller(controls, model.factors, random=random)
    drive = first.input_size + (controls.controls if controls.exists else 0)
    decoder = LFADSDecoder(
        make_generator(model.generator, model.size, drive, random),
        controller,
        model.factors,
        reset=model.generator.reset,
        clip=model.generator.clip,
        random=random,
    )
    lfads = LFADS(
        model,
        sessions=[
            _session(model, readout, shape, known, read_in, _stream(random, shape, shapes))
            for shape, known in zip(shapes, statistics, strict=True)
        ],
        encoder=encoder,
        control_encoder=control_encoder,
        decoder=decoder,
        initial_prior=make_prior(model.initial_prior, model.initial_condition),
        control_prior=make_prior(model.control_prior, controls.controls) if controls.exists else None,
        input_size=first.input_size,
        random=random,
    )
    if isinstance(model, BANDConfig) and model.predicts_behavior:
        # Drawn last, so that everything else starts as in LFADS.
        for parts, shape, known in zip(lfads.all_parts, shapes, statistics, strict=True):
            parts.behavior = _behavior(model, shape, known, random)
    return lfads


def _behavior(
    model: BANDConfig, shape: Shape, statistics: Statistics, random: torch.Generator
) -> BehaviorReadout:
    if statistics.behavior is None:
        raise InputError(f"{shape.name} was read without behaviour, which model=band predicts")
    center, scale = (torch.from_numpy(values).to(torch.float32) for values in statistics.behavior)
    decoder = make_decoder(model.behavior, model.factors, shape.behavior, shape.bins, random)
    return BehaviorReadout(decoder, center, scale, model.behavior, unit=shape.behavior_unit)


def _channels(model: LFADSConfig, shapes: Sequence[Shape]) -> int:
    """Channels of the read-ins; 0 for none."""
    size = model.read_in.size
    if size is None:
        size = model.factors if len(shapes) > 1 else 0
    seen = [[shape.neurons[index] for index in shape.view.neurons.tolist()] for shape in shapes]
    if size == 0 and any(ids != seen[0] for ids in seen):
        raise InputError(
            "model.read_in.size=0 gives encoders the neurons themselves, and the recordings "
            f"{', '.join(shape.name for shape in shapes)} differ in those that may be seen: set it to the "
            "number of channels that encoders are to read"
        )
    if size == 0 and model.read_in.initialize != "random":
        raise InputError(
            f"model.read_in.initialize={model.read_in.initialize} needs a read-in: set model.read_in.size"
        )
    return size


def _stream(random: torch.Generator, shape: Shape, shapes: Sequence[Shape]) -> torch.Generator:
    """Stream of a recording's initial weights; of one among several it depends on the name alone."""
    return random if len(shapes) == 1 else generator(random.initial_seed(), "session", shape.name)


def _session(
    model: LFADSConfig,
    readout: ReadoutConfig,
    shape: Shape,
    statistics: Statistics,
    channels: int,
    random: torch.Generator,
) -> SessionParts:
    view = shape.view
    observation, bias = make_observation(model.observation, shape.signal, statistics)
    read_in = ReadIn(len(view.neurons), channels, generator=random) if channels else None
    if read_in is not None:
        read_in.requires_grad_(model.read_in.trained)
    return SessionParts(
        shape.name,
        model,
        view=view,
        standardization=Standardization.of(view, statistics, on=model.encoder.standardize),
        read_in=read_in,
        readout=build_readout(readout, model.factors, bias, random),
        observation=observation,
    )


def _check(model: LFADSConfig, shape: Shape) -> None:
    """Refuse settings that contradict a recording."""
    if model.augmentation.jitter_bins and shape.signal != "spikes":
        raise InputError("augmentation.jitter_bins moves spikes, and the recording has activity: set it to 0")
    seen, bins = len(shape.seen_bins), model.encoder.bins
    if model.controller.exists and bins is not None and bins >= seen:
        raise InputError(
            f"encoder.bins={bins} leaves the controller's encoder nothing of the {seen} bins that may be "
            f"seen: take at most {seen - 1}, or null for both encoders to read all of them"
        )
