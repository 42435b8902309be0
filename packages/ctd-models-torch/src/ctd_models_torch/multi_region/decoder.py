"""MR-LFADS's decoder: a controller, a generator and factors per region, and the messages between them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ctd_models_torch.coordinated_dropout import dropout_mask
from ctd_models_torch.lfads.config import ControllerConfig
from ctd_models_torch.lfads.initial_weights import GRUParameters, normal
from ctd_models_torch.multi_region.emissions import Emission
from ctd_models_torch.multi_region.loop.arguments import RegionParameters


@dataclass(frozen=True)
class Sizes:
    """Sizes of one region's part of the decoder.

    Attributes:
        state: Units of the generator.
        factors: Factors.
        emission: Length of what messages are made of.
        messages: Channels that arrive from all other regions together, which is also how many are sent.
        inputs: Known inputs.
    """

    state: int
    factors: int
    emission: int
    messages: int
    inputs: int


class RegionDecoder(nn.Module):
    """One region's part.

    Args:
        sizes: Its sizes.
        config: Settings of its controller, which may be none.
        emission: What its messages are made of.
        resting: (emission,) emission at which the messages that are sent have mean 0 at first.
        random: Stream of the initial weights.
    """

    def __init__(
        self,
        sizes: Sizes,
        config: ControllerConfig,
        emission: Emission,
        resting: Tensor,
        *,
        random: torch.Generator,
    ) -> None:
        super().__init__()
        self.sizes, self.emission = sizes, emission
        controls, self.controller = 0, None
        if config.exists:
            controls = config.controls
            self.encoded = config.encoder_size * (1 if config.causal else 2)
            self.controller = GRUParameters(
                self.encoded + sizes.factors, config.size, joint=False, generator=random
            )
            self.control_weight = nn.Parameter(normal((2 * controls, config.size), config.size, random))
            self.control_bias = nn.Parameter(torch.zeros(2 * controls))
            self.controller_state = nn.Parameter(torch.zeros(config.size))
        drive = controls + sizes.messages + sizes.inputs
        self.generator = GRUParameters(drive, sizes.state, joint=False, generator=random)
        self.raw_factor_weight = nn.Parameter(normal((sizes.factors, sizes.state), sizes.state, random))
        self.message_weight = nn.Parameter(
            normal((2 * sizes.messages, sizes.emission), sizes.emission, random)
        )
        self.message_bias = nn.Parameter(-(self.message_weight.detach() @ resting))

    @property
    def factor_weight(self) -> Tensor:
        """(factor, state), rows of length 1."""
        return functional.normalize(self.raw_factor_weight, dim=1)

    @property
    def parameters_of_loop(self) -> RegionParameters:
        """As the loop takes them."""
        has = self.controller is not None
        return RegionParameters(
            self.controller.weights if self.controller is not None else None,
            self.control_weight if has else None,
            self.control_bias if has else None,
            self.generator.weights,
            self.factor_weight,
            self.message_weight,
            self.message_bias,
            self.emission,
        )

    def controller_mask(self, trials: int, n_time: int, rate: float, stream: torch.Generator) -> Tensor:
        """Draw a mask of dropout of what the controller gets, (trial, time, encoded + factor)."""
        shape = (trials, n_time, self.encoded + self.sizes.factors)
        return dropout_mask(shape, self.raw_factor_weight, rate, stream)

    def state_mask(self, trials: int, n_time: int, rate: float, stream: torch.Generator) -> Tensor:
        """Draw a mask of what factors and messages are made of, (trial, time + 1, state)."""
        return dropout_mask((trials, n_time + 1, self.sizes.state), self.raw_factor_weight, rate, stream)
