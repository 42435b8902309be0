"""Spikes from states: simulated recordings with their truth."""

from ctd_sim.counts import CountModel, count_model
from ctd_sim.embedding import LinearConfig, PermutedConfig, SmoothConfig
from ctd_sim.observation import Observation, ObservationConfig, fit_observation
from ctd_sim.simulate import simulate
from ctd_sim.sources import Source, redraw_splits, task_source, trim
from ctd_sim.systems import (
    DoubleWell,
    DoubleWellConfig,
    LotkaVolterra,
    LotkaVolterraConfig,
    ThreeRegionRNN,
    ThreeRegionRNNConfig,
)
from ctd_sim.target_rate import (
    ConstantTargetConfig,
    ListedTargetConfig,
    LognormalTargetConfig,
    LogUniformTargetConfig,
    NoTargetConfig,
)

__all__ = [
    "ConstantTargetConfig",
    "CountModel",
    "DoubleWell",
    "DoubleWellConfig",
    "LinearConfig",
    "ListedTargetConfig",
    "LogUniformTargetConfig",
    "LognormalTargetConfig",
    "LotkaVolterra",
    "LotkaVolterraConfig",
    "NoTargetConfig",
    "Observation",
    "ObservationConfig",
    "PermutedConfig",
    "SmoothConfig",
    "Source",
    "ThreeRegionRNN",
    "ThreeRegionRNNConfig",
    "count_model",
    "fit_observation",
    "redraw_splits",
    "simulate",
    "task_source",
    "trim",
]
