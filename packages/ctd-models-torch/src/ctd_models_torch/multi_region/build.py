"""MR-LFADS from settings."""

from __future__ import annotations

import torch
from torch import Tensor

from ctd_models_torch.config import ReadoutConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.multi_region.config import MRLFADSConfig
from ctd_models_torch.multi_region.decoder import RegionDecoder, Sizes
from ctd_models_torch.multi_region.emissions import Emission, FactorsEmission, RatesEmission, StatesEmission
from ctd_models_torch.multi_region.encoder import RegionEncoder
from ctd_models_torch.multi_region.model import MRLFADS, prediction_columns
from ctd_models_torch.multi_region.regions import Region, Regions
from ctd_models_torch.observations import make_observation
from ctd_models_torch.readouts import Readout
from ctd_models_torch.readouts.build import build_readout
from ctd_models_torch.recording import Statistics
from ctd_models_torch.shape import Shape
from ctd_models_torch.standardization import Standardization


def build_mr_lfads(
    model: MRLFADSConfig,
    readout: ReadoutConfig,
    shape: Shape,
    statistics: Statistics,
    random: torch.Generator,
) -> MRLFADS:
    """Make MR-LFADS; see `ctd_models_torch.build.build_model`."""
    regions, view = Regions.of(shape), shape.view
    _check_segment(model, len(view.bins))
    observation, bias = make_observation(model.observation, shape.signal, statistics)
    encoders, decoders, readouts = [], [], []
    for region in regions.every:
        columns = prediction_columns(region.neurons, len(shape.neurons), observation.n_parameters)
        count = len(region.neurons)
        size = model.size or min(2 * count, model.largest_size)
        factors = model.factors or min(count, model.largest_factors)
        readouts.append(build_readout(readout, factors, bias[columns], random))
        emission, resting = _emission(model, region, readouts[-1], bias[columns], size, factors)
        messages = (len(regions) - 1) * model.messages.size
        sizes = Sizes(size, factors, len(resting), messages, shape.input_size)
        encoders.append(RegionEncoder(model, len(region.seen), size, random=random))
        decoders.append(RegionDecoder(sizes, model.controller, emission, resting, random=random))
    return MRLFADS(
        model,
        regions,
        encoders=encoders,
        decoders=decoders,
        readouts=readouts,
        observation=observation,
        view=view,
        standardization=Standardization.of(view, statistics, on=model.encoder.standardize),
        input_size=shape.input_size,
    )


def _emission(
    model: MRLFADSConfig, region: Region, readout: Readout, start: Tensor, size: int, factors: int
) -> tuple[Emission, Tensor]:
    """What a region's messages are made of, and what that is at rest."""
    if model.messages.emission == "states":
        return StatesEmission(), torch.zeros(size)
    if model.messages.emission == "factors":
        return FactorsEmission(), torch.zeros(factors)
    return RatesEmission(readout, region.seen), start[region.seen]


def _check_segment(model: MRLFADSConfig, seen: int) -> None:
    bins = model.encoder.bins
    if model.controller.exists and bins is not None and bins >= seen:
        raise InputError(
            f"encoder.bins={bins} leaves the controllers' encoders nothing of the {seen} bins that may be "
            f"seen: take at most {seen - 1}, or null for all encoders to read all of them"
        )
