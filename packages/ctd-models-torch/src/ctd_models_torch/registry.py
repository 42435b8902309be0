"""The registries: a name on the command line to its settings."""

from __future__ import annotations

from ctd_models_torch.config import (
    FitConfig,
    FlowReadoutConfig,
    GRUConfig,
    GRUFitConfig,
    LDSConfig,
    LDSFitConfig,
    LinearReadoutConfig,
    MLPReadoutConfig,
    ModelConfig,
    NODEConfig,
    NODEFitConfig,
    OrthonormalReadoutConfig,
    ReadoutConfig,
    RNNConfig,
    RNNFitConfig,
    SmootherConfig,
)
from ctd_models_torch.errors import InputError
from ctd_models_torch.lfads.behavior_config import BANDConfig, BANDFitConfig
from ctd_models_torch.lfads.config import LFADSConfig, LFADSFitConfig
from ctd_models_torch.multi_region.config import MRLFADSConfig, MRLFADSFitConfig

MODELS: dict[str, type[ModelConfig]] = {
    "lds": LDSConfig,
    "rnn": RNNConfig,
    "gru": GRUConfig,
    "node": NODEConfig,
    "lfads": LFADSConfig,
    "band": BANDConfig,
    "mr_lfads": MRLFADSConfig,
    "smoother": SmootherConfig,
}
TRAININGS: dict[str, type[FitConfig]] = {
    "lds": LDSFitConfig,
    "rnn": RNNFitConfig,
    "gru": GRUFitConfig,
    "node": NODEFitConfig,
    "lfads": LFADSFitConfig,
    "band": BANDFitConfig,
    "mr_lfads": MRLFADSFitConfig,
    "smoother": FitConfig,
}
READOUTS: dict[str, type[ReadoutConfig]] = {
    "linear": LinearReadoutConfig,
    "orthonormal": OrthonormalReadoutConfig,
    "mlp": MLPReadoutConfig,
    "flow": FlowReadoutConfig,
}


def name_of(settings: ModelConfig | ReadoutConfig) -> str:
    """What settings are called on the command line and in files."""
    registry = MODELS if isinstance(settings, ModelConfig) else READOUTS
    for name, kind in registry.items():
        if kind is type(settings):
            return name
    raise InputError(
        f"{type(settings).__name__} is not registered: take one of {', '.join(registry)}, "
        "or register it before fitting"
    )
