"""Coordinated dropout (Keshtkaran & Pandarinath 2019): nothing is trained to copy what it was shown."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ctd_contract.torch.random import bernoulli, chance
from ctd_models_torch.batch import View


def coordinated_dropout(
    seen: Tensor, view: View, shape: torch.Size, *, rate: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Hide random entries from the encoder and train on just those.

    An entry that was hidden is scored with weight 1 / rate and one that was shown with 0, so the expected
    loss is the undropped one. What encoders never see, held-out neurons and forward bins, keeps weight 1.

    Args:
        seen: (trial, seen bin, seen neuron), what the encoder is given, with zero for "nothing known".
        view: Where these entries lie in the recording.
        shape: Shape of the loss, (trial, time, neuron).
        rate: Probability that an entry is hidden, in (0, 1).
        generator: Stream of the masks, on the device of ``seen``.

    Returns:
        The thinned entries, scaled by 1 / (1 - rate), and the loss's weight, (trial, time, neuron).
    """
    hidden = bernoulli(seen.shape, rate, generator, seen.device, dtype=seen.dtype)
    rate = chance(rate)
    return seen * (1.0 - hidden).div_(1.0 - rate), view.spread(hidden.div_(rate), shape, 1.0)


def dropout_mask(shape: Sequence[int], like: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """A mask of ordinary inverted dropout: 0 with probability ``rate``, else 1 / (1 - rate).

    Args:
        shape: Of the mask.
        like: Tensor of whose type and device it is.
        rate: In [0, 1).
        generator: Stream, on that device.
    """
    kept = 1.0 - rate
    return bernoulli(shape, kept, generator, like.device, dtype=like.dtype, value=1.0 / chance(kept))


def dropout(values: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Ordinary inverted dropout from a named stream; None leaves the values as they are."""
    if generator is None or rate == 0.0:
        return values
    return values * dropout_mask(values.shape, values, rate, generator)
