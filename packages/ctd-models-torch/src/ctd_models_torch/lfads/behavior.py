"""Behaviour of one recording: its scale, its decoder, and what a wrong prediction costs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ctd_models_torch.batch import measured_entries
from ctd_models_torch.coordinated_dropout import dropout
from ctd_models_torch.lfads.behavior_config import BehaviorConfig
from ctd_models_torch.lfads.behavior_decoders import BehaviorDecoder


class BehaviorReadout(nn.Module):
    """Decodes behaviour from factors (Kudryashova et al. 2025).

    The decoder works with behaviour of mean 0 and variance 1 in the training trials.

    Args:
        decoder: From factors to that.
        center: (behavior,), in the recording's unit.
        scale: (behavior,), above 0.
        config: Weight and dropout.
        unit: The recording's unit, or None.
    """

    def __init__(
        self,
        decoder: BehaviorDecoder,
        center: Tensor,
        scale: Tensor,
        config: BehaviorConfig,
        *,
        unit: str | None = None,
    ) -> None:
        super().__init__()
        self.center: Tensor
        self.scale: Tensor
        self.decoder, self.config, self.unit = decoder, config, unit
        self.register_buffer("center", center)
        self.register_buffer("scale", scale)

    def forward(self, factors: Tensor, lengths: Tensor) -> Tensor:
        """Decode, in the recording's unit.

        Args:
            factors: (trial, time, factor).
            lengths: (trial,) bins before the padding, of which nothing is read.

        Returns:
            (trial, time, behavior).
        """
        return self._decoded(factors, lengths, None) * self.scale + self.center

    def costs(
        self, factors: Tensor, lengths: Tensor, behavior: Tensor, stream: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """What the predictions of a training step cost.

        Args:
            factors: (trial, time, factor).
            lengths: (trial,) bins before the padding.
            behavior: (trial, time, behavior) in the recording's unit, NaN where it isn't measured.
            stream: Of dropout; None for none.

        Returns:
            ½ (b - b̂)² in units of the standard deviation times its weight, (trial, time, behavior), and
            where that counts.
        """
        measured = measured_entries(behavior, lengths)
        # What isn't measured is NaN, and a gradient of NaN times zero is NaN.
        target = torch.where(measured, (behavior - self.center) / self.scale, 0.0)
        decoded = self._decoded(factors, lengths, stream)
        return 0.5 * self.config.weight * (target - decoded).square(), measured

    def _decoded(self, factors: Tensor, lengths: Tensor, stream: torch.Generator | None) -> Tensor:
        bins = torch.arange(factors.shape[1], device=factors.device)
        kept = torch.where((bins < lengths[:, None])[..., None], factors, 0.0)
        return self.decoder(dropout(kept, self.config.dropout, stream))
