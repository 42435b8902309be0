"""Networks to be trained on tasks: dataclasses of settings in `NETWORKS`, and `build` to make the module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctd_tasks.networks.config import (
    NETWORKS,
    GRUConfig,
    LeakyRNNConfig,
    NetworkConfig,
    NODEConfig,
    NoisyGRUConfig,
    NoisyGRUL2Config,
    VanillaRNNConfig,
)

if TYPE_CHECKING:
    from ctd_tasks.networks.base import Network


def build(config: NetworkConfig, n_inputs: int, n_outputs: int, *, seed: int) -> Network:
    """Make the network of these settings, its weights drawn from the seed.

    Args:
        config: one of the dataclasses in `NETWORKS`; its class decides on the network.
        n_inputs: input channels.
        n_outputs: output channels.
        seed: the run's seed; weights have a stream of their own.
    """
    from ctd_contract.torch.random import generator
    from ctd_tasks.networks.gru import GRU
    from ctd_tasks.networks.node import NODE
    from ctd_tasks.networks.rnn import LeakyRNN, VanillaRNN

    modules = {VanillaRNNConfig: VanillaRNN, LeakyRNNConfig: LeakyRNN, GRUConfig: GRU, NODEConfig: NODE}
    for kind in type(config).__mro__:
        if kind in modules:
            return modules[kind](config, n_inputs, n_outputs, generator(seed, "weights"))
    raise TypeError(f"no network is made of {type(config).__name__}: expected one of {', '.join(NETWORKS)}")


__all__ = [
    "NETWORKS",
    "GRUConfig",
    "LeakyRNNConfig",
    "NODEConfig",
    "NetworkConfig",
    "NoisyGRUConfig",
    "NoisyGRUL2Config",
    "VanillaRNNConfig",
    "build",
]
