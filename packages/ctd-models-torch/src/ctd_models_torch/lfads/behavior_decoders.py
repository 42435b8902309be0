"""Decoders of behaviour from factors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from ctd_contract.torch.sequences.cells import NONLINEARITIES
from ctd_models_torch.errors import InputError
from ctd_models_torch.lfads.behavior_config import BehaviorConfig
from ctd_models_torch.lfads.initial_weights import normal


class BehaviorDecoder(nn.Module, ABC):
    """From factors to behaviour.

    Attributes:
        past_bins: Bins before the decoded one that are read; None for all.
        future_bins: Bins after it that are read; None for all.
    """

    past_bins: int | None = None
    future_bins: int | None = None

    @abstractmethod
    def forward(self, factors: Tensor) -> Tensor:
        """Decode.

        Args:
            factors: (trial, time, factor), zero in the padding.

        Returns:
            (trial, time, behavior).
        """


class AllLagsDecoder(BehaviorDecoder):
    """Linear from all bins of the factors to all bins of behaviour.

    Args:
        factors: Number of factors.
        channels: Channels of behaviour.
        bins: Bins of the longest trial.
        generator: Stream of the initial weights, N(0, 1 / (bins factors)).
    """

    def __init__(self, factors: int, channels: int, bins: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal((bins, channels, bins, factors), bins * factors, generator))
        self.bias = nn.Parameter(torch.zeros(bins, channels))

    def forward(self, factors: Tensor) -> Tensor:
        """See BehaviorDecoder; shorter trials are as trials that end early."""
        n_time, bins = factors.shape[1], len(self.bias)
        if n_time > bins:
            raise InputError(
                f"the behaviour decoder all_lags was fitted to trials of {bins} bins and can't be given "
                f"{n_time}: cut the trials, or fit with model.behavior.decoder=lag_limited"
            )
        weight = self.weight[:n_time, :, :n_time].flatten(2).flatten(0, 1)
        decoded = functional.linear(factors.flatten(1), weight, self.bias[:n_time].flatten())
        return decoded.unflatten(1, (n_time, -1))


class WindowDecoder(BehaviorDecoder):
    """The same map in every bin, linear or a multilayer perceptron, of the bins around it.

    b̂(t) = MLP([f(t - past), ..., f(t + future)]), with zeros for bins outside the trial.

    Args:
        factors: Number of factors.
        channels: Channels of behaviour.
        past_bins: Bins before the decoded one.
        future_bins: Bins after it.
        hidden: Units of the hidden layers; none for a linear filter.
        activation: Of the hidden layers.
        generator: Stream of the initial weights, N(0, 1 / fan-in).
    """

    def __init__(
        self,
        factors: int,
        channels: int,
        *,
        past_bins: int = 0,
        future_bins: int = 0,
        hidden: tuple[int, ...] = (),
        activation: str = "relu",
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.past_bins, self.future_bins, self.activation = past_bins, future_bins, activation
        window = past_bins + 1 + future_bins
        sizes = (*hidden, channels)
        # The first layer is a filter, (unit, factor, bin of the window, earliest first).
        first = normal((sizes[0], factors, window), factors * window, generator)
        others = [normal((after, before), before, generator) for before, after in pairwise(sizes)]
        self.weights = nn.ParameterList([first, *others])
        self.biases = nn.ParameterList([torch.zeros(size) for size in sizes])

    def forward(self, factors: Tensor) -> Tensor:
        """See BehaviorDecoder."""
        padded = functional.pad(factors.transpose(1, 2), (self.past_bins or 0, self.future_bins or 0))
        values = functional.conv1d(padded, self.weights[0], self.biases[0]).transpose(1, 2)
        for weight, bias in zip(list(self.weights)[1:], list(self.biases)[1:], strict=True):
            values = functional.linear(NONLINEARITIES[self.activation](values), weight, bias)
        return values


def make_decoder(
    config: BehaviorConfig, factors: int, channels: int, bins: int, generator: torch.Generator
) -> BehaviorDecoder:
    """Make a decoder of its settings.

    Args:
        config: The settings.
        factors: Number of factors.
        channels: Channels of behaviour.
        bins: Bins of the recording's time axis.
        generator: Stream of the initial weights.
    """
    if config.decoder == "all_lags":
        return AllLagsDecoder(factors, channels, bins, generator=generator)
    if config.decoder == "per_bin":
        return WindowDecoder(factors, channels, generator=generator)
    return WindowDecoder(
        factors,
        channels,
        past_bins=config.past_bins,
        future_bins=config.future_bins,
        hidden=(config.hidden_size,) * config.hidden_layers if config.decoder == "mlp" else (),
        activation=config.activation,
        generator=generator,
    )
