"""Readouts from settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import torch

from ctd_models_torch.config import (
    FlowReadoutConfig,
    LinearReadoutConfig,
    MLPReadoutConfig,
    OrthonormalReadoutConfig,
    ReadoutConfig,
)
from ctd_models_torch.readouts.base import Readout
from ctd_models_torch.readouts.flow import FlowReadout
from ctd_models_torch.readouts.linear import LinearReadout
from ctd_models_torch.readouts.mlp import MLPReadout
from ctd_models_torch.readouts.orthonormal import OrthonormalReadout

_READOUTS: dict[type, Callable[..., Readout]] = {
    LinearReadoutConfig: LinearReadout,
    OrthonormalReadoutConfig: OrthonormalReadout,
    MLPReadoutConfig: MLPReadout,
    FlowReadoutConfig: FlowReadout,
}


def build_readout(readout: ReadoutConfig, size: int, bias: torch.Tensor, random: torch.Generator) -> Readout:
    """Make a readout of ``size`` states or factors whose bias starts at ``bias`` (prediction,)."""
    return _READOUTS[type(readout)](size, bias, **asdict(readout), generator=random)
