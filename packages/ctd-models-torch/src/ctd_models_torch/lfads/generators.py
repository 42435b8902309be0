"""LFADS's generators, as decoders: dynamics that run from an initial state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ctd_contract.dynamics import GRU, Dynamics
from ctd_contract.torch.sequences import gru
from ctd_models_torch.decoders import Decoder, NODEDecoder
from ctd_models_torch.decoders.base import array
from ctd_models_torch.lfads.config import GeneratorConfig
from ctd_models_torch.lfads.initial_weights import GRUParameters


class GRUGenerator(Decoder):
    """A gated recurrent unit whose new states are clamped; its initial state is not.

    Args:
        state_size: Units.
        input_size: Controls and known inputs.
        reset: ``"before"`` or ``"after"``, as in `GeneratorConfig`.
        clip: Largest state, either way, or None.
        generator: Stream of the initial weights.
    """

    def __init__(
        self,
        state_size: int,
        input_size: int,
        *,
        reset: str,
        clip: float | None,
        generator: torch.Generator,
    ) -> None:
        super().__init__(state_size, input_size)
        self.reset, self.clip = reset, clip
        self.unit = GRUParameters(input_size, state_size, joint=False, generator=generator)

    def forward(self, inputs: Tensor | None, initial_state: Tensor, n_time: int) -> Tensor:
        """See Decoder."""
        options = {"reset": self.reset, "clip": self.clip, "n_time": n_time, "backend": self.backend}
        return gru(inputs, initial_state, *self.unit.weights, **options)

    def recurrent_weights(self) -> list[Tensor]:
        """See Decoder."""
        return [self.unit.weight_state]

    def dynamics(self, signals: Sequence[str]) -> Dynamics:
        """See Decoder."""
        unit = self.unit
        return GRU(
            array(unit.weight_input),
            array(unit.weight_state),
            array(unit.bias),
            np.zeros(3 * unit.size),
            reset=self.reset,
            clip=self.clip,
            inputs=signals,
        )


def make_generator(config: GeneratorConfig, size: int, inputs: int, random: torch.Generator) -> Decoder:
    """Make a generator of its settings."""
    return _KINDS[config.kind](config, size, inputs, random)


def _gru(config: GeneratorConfig, size: int, inputs: int, random: torch.Generator) -> Decoder:
    return GRUGenerator(size, inputs, reset=config.reset, clip=config.clip, generator=random)


def _node(config: GeneratorConfig, size: int, inputs: int, random: torch.Generator) -> Decoder:
    return NODEDecoder(
        size,
        inputs,
        hidden_size=config.hidden_size,
        hidden_layers=config.hidden_layers,
        delta=config.delta,
        activation=config.activation,
        generator=random,
    )


_KINDS = {"gru": _gru, "node": _node}
