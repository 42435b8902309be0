"""What goes into MR-LFADS's loop over bins and what comes out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ctd_models_torch.lfads.decoder_loop.decode import GRUWeights
from ctd_models_torch.lfads.posterior import LOG_VARIANCE_BOUND, Normal
from ctd_models_torch.multi_region.emissions import Emission

BACKENDS = ("fast", "plain")
# Least variance of every posterior.
VARIANCE_FLOOR = 1e-4


class RegionParameters(NamedTuple):
    """Parameters of one region.

    Attributes:
        controller: Its inputs are the encoded columns first, then the factors; None without controllers.
        control_weight: (2 control, controller), means first, then raw log-variances; None without.
        control_bias: (2 control,); None without.
        generator: Its inputs are the controls first, then the messages, then the known inputs.
        factor_weight: (factor, state), used as it is given.
        message_weight: (targets 2 message, emission): for every other region, in their order, the means and
            then the raw log-variances of what is sent to it.
        message_bias: (targets 2 message,).
        emission: What messages are made of.
    """

    controller: GRUWeights | None
    control_weight: Tensor | None
    control_bias: Tensor | None
    generator: GRUWeights
    factor_weight: Tensor
    message_weight: Tensor
    message_bias: Tensor
    emission: Emission


@dataclass(frozen=True)
class LoopArguments:
    """Everything but the parameters; lists have an entry per region.

    Attributes:
        generator_states: (trial, state), before the first bin.
        controller_states: (trial, controller), likewise; None without controllers.
        encoded: (trial, time, encoded), what the controllers read of the data; None without.
        external: (trial, time, input), known inputs of all generators, or None.
        control_noise: (trial, time, region, control), standard normal; None passes the means on.
        message_noise: (trial, time, region, message), likewise.
        controller_masks: (trial, time, encoded + factor), multiply the controllers' inputs; or None.
        state_masks: (trial, time + 1, state), multiply the states that factors and emissions are made of,
            first the initial one; or None.
        channels: (time, region, message), multiply the messages that arrive; or None.
        n_time: Bins.
        reset: ``"before"`` or ``"after"``.
        clip: New states are clamped to ±clip; None for no limit.
    """

    generator_states: Sequence[Tensor]
    controller_states: Sequence[Tensor] | None
    encoded: Sequence[Tensor] | None
    external: Tensor | None
    control_noise: Tensor | None
    message_noise: Tensor | None
    controller_masks: Sequence[Tensor] | None
    state_masks: Sequence[Tensor] | None
    channels: Tensor | None
    n_time: int
    reset: str
    clip: float | None


class Sampled(NamedTuple):
    """Posterior of what regions receive, (trial, time, region, dimension).

    Attributes:
        mean: Its mean.
        log_variance: Its log-variance.
        value: What the generators received.
    """

    mean: Tensor
    log_variance: Tensor
    value: Tensor

    @property
    def posterior(self) -> Normal:
        """As a distribution over (trial, time, region dimension)."""
        return Normal(self.mean.flatten(2), self.log_variance.flatten(2))


class Looped(NamedTuple):
    """What the loop gives; lists have an entry per region.

    Attributes:
        states: (trial, time, state), the generators', without dropout.
        factors: (trial, time, factor).
        controls: Inferred inputs, or None without controllers.
        messages: What arrives in each region: from its first source all channels, then from the next.
    """

    states: list[Tensor]
    factors: list[Tensor]
    controls: Sampled | None
    messages: Sampled


def bounded_log_variance(raw: Tensor) -> Tensor:
    """A log-variance between the floor's and `LOG_VARIANCE_BOUND`, smooth in any raw one."""
    bent = LOG_VARIANCE_BOUND * torch.tanh(raw / LOG_VARIANCE_BOUND)
    return torch.logaddexp(bent, bent.new_tensor(math.log(VARIANCE_FLOOR)))


def log_variance_slope(raw: Tensor) -> Tensor:
    """Derivative of `bounded_log_variance`."""
    tanh = torch.tanh(raw / LOG_VARIANCE_BOUND)
    above = LOG_VARIANCE_BOUND * tanh - math.log(VARIANCE_FLOOR)
    return (1.0 - tanh.square()) * torch.sigmoid(above)


def slot(region: int, other: int) -> int:
    """Position of another region among all that are not ``region``."""
    return other if other < region else other - 1
