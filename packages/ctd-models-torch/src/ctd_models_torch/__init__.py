"""Latent-dynamics models of neural recordings in PyTorch: sequential autoencoders and LFADS.

`fit` fits one to a recording of the HDF5 contract and infers all its trials, `predict` applies it to others.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import ctd_contract.torch  # noqa: F401  # before torch itself, whose idle threads it calms

if TYPE_CHECKING:
    from ctd_models_torch.base import Inferred, LatentModel
    from ctd_models_torch.build import register, register_model
    from ctd_models_torch.config import (
        AutoencoderConfig,
        EncoderConfig,
        FitConfig,
        FlowReadoutConfig,
        GrowthConfig,
        GRUConfig,
        LDSConfig,
        LinearReadoutConfig,
        MLPReadoutConfig,
        ModelConfig,
        NODEConfig,
        RecordingConfig,
        RNNConfig,
    )
    from ctd_models_torch.decoders import Decoder
    from ctd_models_torch.derived.ablation import ablate
    from ctd_models_torch.derived.files import Source
    from ctd_models_torch.derived.sampling import SamplingConfig, sample
    from ctd_models_torch.errors import InputError
    from ctd_models_torch.fitting import Fitted, fit
    from ctd_models_torch.lfads.behavior_config import BANDConfig, BANDFitConfig, BehaviorConfig
    from ctd_models_torch.lfads.config import (
        AugmentationConfig,
        ControllerConfig,
        GeneratorConfig,
        InitialEncoderConfig,
        KLConfig,
        L2Config,
        LFADSConfig,
        LFADSFitConfig,
        PriorConfig,
        RampConfig,
    )
    from ctd_models_torch.lfads.read_in_config import ReadInConfig
    from ctd_models_torch.multi_region.config import (
        DivergenceConfig,
        MessagesConfig,
        MRLFADSConfig,
        MRLFADSFitConfig,
        RegionKLConfig,
        SilenceConfig,
    )
    from ctd_models_torch.prediction import predict
    from ctd_models_torch.saved import SavedModel, load_model
    from ctd_models_torch.streaming import Stream

# Loaded on first use, so that importing the package doesn't import torch.
_MODULES = {
    "ablation": ("ablate",),
    "base": ("Inferred", "LatentModel"),
    "build": ("register", "register_model"),
    "config": (
        "AutoencoderConfig",
        "EncoderConfig",
        "FitConfig",
        "FlowReadoutConfig",
        "GRUConfig",
        "GrowthConfig",
        "LDSConfig",
        "LinearReadoutConfig",
        "MLPReadoutConfig",
        "ModelConfig",
        "NODEConfig",
        "RNNConfig",
        "RecordingConfig",
    ),
    "decoders": ("Decoder",),
    "derived": ("Source",),
    "errors": ("InputError",),
    "fitting": ("Fitted", "fit"),
    "lfads.behavior_config": ("BANDConfig", "BANDFitConfig", "BehaviorConfig"),
    "lfads.config": (
        "AugmentationConfig",
        "ControllerConfig",
        "GeneratorConfig",
        "InitialEncoderConfig",
        "KLConfig",
        "L2Config",
        "LFADSConfig",
        "LFADSFitConfig",
        "PriorConfig",
        "RampConfig",
    ),
    "lfads.read_in_config": ("ReadInConfig",),
    "multi_region.config": (
        "DivergenceConfig",
        "MRLFADSConfig",
        "MRLFADSFitConfig",
        "MessagesConfig",
        "RegionKLConfig",
        "SilenceConfig",
    ),
    "prediction": ("predict",),
    "sampling": ("SamplingConfig", "sample"),
    "saved": ("SavedModel", "load_model"),
    "streaming": ("Stream",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


__all__ = [
    "AugmentationConfig",
    "AutoencoderConfig",
    "BANDConfig",
    "BANDFitConfig",
    "BehaviorConfig",
    "ControllerConfig",
    "Decoder",
    "DivergenceConfig",
    "EncoderConfig",
    "FitConfig",
    "Fitted",
    "FlowReadoutConfig",
    "GRUConfig",
    "GeneratorConfig",
    "GrowthConfig",
    "Inferred",
    "InitialEncoderConfig",
    "InputError",
    "KLConfig",
    "L2Config",
    "LDSConfig",
    "LFADSConfig",
    "LFADSFitConfig",
    "LatentModel",
    "LinearReadoutConfig",
    "MLPReadoutConfig",
    "MRLFADSConfig",
    "MRLFADSFitConfig",
    "MessagesConfig",
    "ModelConfig",
    "NODEConfig",
    "PriorConfig",
    "RNNConfig",
    "RampConfig",
    "ReadInConfig",
    "RecordingConfig",
    "RegionKLConfig",
    "SamplingConfig",
    "SavedModel",
    "SilenceConfig",
    "Source",
    "Stream",
    "ablate",
    "fit",
    "load_model",
    "predict",
    "register",
    "register_model",
    "sample",
]
