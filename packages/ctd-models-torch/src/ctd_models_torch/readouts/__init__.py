"""Readouts of sequential autoencoders: from states to log counts or means."""

from ctd_models_torch.readouts.base import Readout
from ctd_models_torch.readouts.flow import FlowReadout
from ctd_models_torch.readouts.linear import LinearReadout
from ctd_models_torch.readouts.mlp import MLPReadout
from ctd_models_torch.readouts.orthonormal import OrthonormalReadout

__all__ = ["FlowReadout", "LinearReadout", "MLPReadout", "OrthonormalReadout", "Readout"]
