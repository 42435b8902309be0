"""One region's encoders: its initial condition, and what its controller reads of the data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ctd_models_torch.batch import View
from ctd_models_torch.coordinated_dropout import dropout
from ctd_models_torch.lfads.controller_inputs import controller_inputs
from ctd_models_torch.lfads.encoders import Encoder
from ctd_models_torch.lfads.initial_weights import normal
from ctd_models_torch.lfads.posterior import Normal, NormalHead
from ctd_models_torch.multi_region.config import MRLFADSConfig
from ctd_models_torch.multi_region.loop.arguments import VARIANCE_FLOOR


class RegionEncoder(nn.Module):
    """Reads the seen neurons of one region, and of no other.

    Args:
        config: Settings of the model.
        neurons: Seen neurons of the region.
        state_size: Units of its generator.
        random: Stream of the initial weights.
    """

    def __init__(
        self, config: MRLFADSConfig, neurons: int, state_size: int, *, random: torch.Generator
    ) -> None:
        super().__init__()
        self.bins, self.lag = config.encoder.bins, config.controller.lag
        units, controls, code = config.units, config.controller, config.initial_condition
        self.encoder = Encoder(neurons, config.encoder.size, units, generator=random)
        self.control_encoder = None
        if controls.exists:
            self.control_encoder = Encoder(
                neurons, controls.encoder_size, units, causal=controls.causal, generator=random
            )
        self.head = NormalHead(2 * self.encoder.size, code, generator=random)
        self.initial_weight = nn.Parameter(normal((state_size, code), code, random))
        self.initial_bias = nn.Parameter(torch.zeros(state_size))

    def initial(self, seen: Tensor, lengths: Tensor, rate: float, stream: torch.Generator | None) -> Normal:
        """Infer the code of the initial condition.

        Args:
            seen: (trial, seen bin, seen neuron).
            lengths: (trial,) seen bins before the padding.
            rate: Of dropout.
            stream: Of its mask; None for none.
        """
        first = min(seen.shape[1], self.bins or seen.shape[1])
        read = self.encoder.last(seen[:, :first], lengths.clamp(1, first))
        return self.head(dropout(read, rate, stream), floor=VARIANCE_FLOOR)

    def state(self, code: Tensor) -> Tensor:
        """State before the first bin, (trial, state)."""
        return nn.functional.linear(code, self.initial_weight, self.initial_bias)

    def encoded(self, seen: Tensor, lengths: Tensor, view: View, whole: Tensor, n_time: int) -> list[Tensor]:
        """What the controller is given, (trial, time, encoded), as a list of one; of none without one.

        Args:
            seen: (trial, seen bin, seen neuron).
            lengths: (trial,) seen bins before the padding.
            view: Where the seen bins lie.
            whole: (trial,) all bins before the padding.
            n_time: Bins of the time axis.
        """
        if self.control_encoder is None:
            return []
        start = self.bins or 0
        states = self.control_encoder.all(seen[:, start:], (lengths - start).clamp_min(1))
        bins = view.bins[start:]
        return [controller_inputs(states, bins, whole, n_time=n_time, lag=self.lag)]

    def recurrent_weights(self) -> list[Tensor]:
        """Recurrent matrices."""
        encoders = [e for e in (self.encoder, self.control_encoder) if e is not None]
        return [matrix for encoder in encoders for matrix in encoder.recurrent_weights()]
