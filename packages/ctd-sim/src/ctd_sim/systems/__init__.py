"""Systems of several regions whose messages, modes and states are known."""

from ctd_sim.systems.base import (
    Parts,
    RegionalConfig,
    RegionalSystem,
    SystemConfig,
    TaskConfig,
    Trials,
    messages_from,
    regional_source,
    rollout,
)
from ctd_sim.systems.double_well import DoubleWell, DoubleWellConfig
from ctd_sim.systems.lotka_volterra import LotkaVolterra, LotkaVolterraConfig
from ctd_sim.systems.three_region_rnn import ThreeRegionRNN, ThreeRegionRNNConfig

SYSTEMS: dict[str, type[SystemConfig]] = {
    "task": TaskConfig,
    "double_well": DoubleWellConfig,
    "lotka_volterra": LotkaVolterraConfig,
    "three_region_rnn": ThreeRegionRNNConfig,
}

__all__ = [
    "SYSTEMS",
    "DoubleWell",
    "DoubleWellConfig",
    "LotkaVolterra",
    "LotkaVolterraConfig",
    "Parts",
    "RegionalConfig",
    "RegionalSystem",
    "SystemConfig",
    "TaskConfig",
    "ThreeRegionRNN",
    "ThreeRegionRNNConfig",
    "Trials",
    "messages_from",
    "regional_source",
    "rollout",
]
