"""Augmentations: what encoders are shown is moved a little in time; what is scored stays as it was."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ctd_models_torch.base import Draw
from ctd_models_torch.batch import Batch
from ctd_models_torch.lfads.config import AugmentationConfig


def augment(batch: Batch, config: AugmentationConfig, draw: Draw) -> Batch:
    """The batch as encoders get it in a training step."""
    data = batch.data
    if config.jitter_bins > 0:
        data = jitter(data, batch.lengths, config.jitter_bins, draw("spike jitter"))
    if config.shift_std > 0:
        data = shift(data, batch.lengths, config.shift_std, config.shift_bins, draw("temporal shift"))
    return batch if data is batch.data else replace(batch, data=data)


def jitter(counts: Tensor, lengths: Tensor, bins: int, generator: torch.Generator) -> Tensor:
    """Move every spike by a whole number of bins, uniform in ±``bins``; it is reflected at the trial's ends.

    Args:
        counts: (trial, time, neuron), whole numbers.
        lengths: (trial,) bins before the padding, into which nothing moves.
        bins: Furthest move.
        generator: Stream of the moves, on the device of the counts.
    """
    where = counts.nonzero().repeat_interleave(counts[counts != 0].to(torch.int64), dim=0)
    trial, time, neuron = where.unbind(1)
    moves = torch.randint(-bins, bins + 1, time.shape, generator=generator, device=counts.device)
    # Reflection between the edges -½ and length - ½, as often as a long move in a short trial needs.
    period = 2 * lengths[trial]
    moved = (time + moves).remainder(period)
    moved = torch.minimum(moved, period - 1 - moved)
    out = torch.zeros_like(counts)
    return out.index_put((trial, moved, neuron), torch.ones_like(moved, dtype=counts.dtype), accumulate=True)


def shift(data: Tensor, lengths: Tensor, std: float, largest: int, generator: torch.Generator) -> Tensor:
    """Shift each neuron of each trial in time by round(N(0, std²)) bins; the ends are repeated.

    Args:
        data: (trial, time, neuron).
        lengths: (trial,) bins before the padding.
        std: In bins.
        largest: Shifts are clamped to ± this.
        generator: Stream of the shifts, on the device of the data.
    """
    trials, n_time, neurons = data.shape
    drawn = torch.randn((trials, 1, neurons), generator=generator, device=data.device) * std
    shifts = drawn.round().clamp(-largest, largest).to(torch.int64)
    bins = torch.arange(n_time, device=data.device)[None, :, None]
    source = torch.minimum((bins - shifts).clamp_min(0), (lengths - 1).clamp_min(0)[:, None, None])
    moved = data.gather(1, source)
    return torch.where(bins < lengths[:, None, None], moved, data)
