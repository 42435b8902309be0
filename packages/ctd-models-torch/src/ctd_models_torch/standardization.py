"""What encoders are given: each neuron's counts or activity, shifted and scaled."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from ctd_models_torch.batch import Batch, View
from ctd_models_torch.recording import Statistics


class Standardization(nn.Module):
    """Subtracts a center and divides by a scale.

    Args:
        center: (seen neuron,).
        scale: (seen neuron,), above 0.
        on: Whether it does; if not, center and scale are 0 and 1.
    """

    def __init__(self, center: Tensor, scale: Tensor, *, on: bool) -> None:
        super().__init__()
        self.on = on
        self.center: Tensor
        self.scale: Tensor
        self.register_buffer("center", center)
        self.register_buffer("scale", scale)

    @classmethod
    def of(cls, view: View, statistics: Statistics, *, on: bool) -> Self:
        """To mean 0 and variance 1 of the training trials, or, where it is not ``on``, to nothing else."""
        neurons = view.neurons.numpy()
        center = torch.from_numpy(statistics.mean[neurons]).to(torch.float32)
        # float32 first: a variance that is tiny there must not become a scale of zero.
        scale = torch.from_numpy(statistics.variance[neurons]).to(torch.float32).sqrt()
        if not on:
            return cls(torch.zeros_like(center), torch.ones_like(scale), on=on)
        return cls(center, torch.where(scale > 0, scale, 1.0), on=on)

    def forward(self, batch: Batch, view: View) -> Tensor:
        """What may be seen of a batch, (trial, seen bin, seen neuron); 0 for nothing known."""
        seen = view.see(batch.data)
        standardised = (seen - self.center) / self.scale if self.on else seen
        if batch.complete:
            return standardised
        return torch.where(view.see(batch.scored.expand_as(batch.data)), standardised, 0.0)
