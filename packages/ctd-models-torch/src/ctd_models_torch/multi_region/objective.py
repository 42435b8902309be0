"""MR-LFADS's loss: the evidence lower bound, ramps, and penalties on recurrent weights and messages."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ctd_models_torch.lfads.objective import Scored, recurrent_penalty
from ctd_models_torch.multi_region.config import MRLFADSConfig


def loss_terms(
    config: MRLFADSConfig,
    scored: Scored,
    *,
    divergences: Mapping[str, Tensor],
    recurrent: Mapping[str, list[Tensor]],
    power: Tensor,
    epoch: int,
) -> dict[str, Tensor]:
    """Named terms whose sum is the loss.

    Args:
        config: Weights and ramps.
        scored: What is reconstructed of the trials.
        divergences: (trial,) nats, under the names of `RegionKLConfig`.
        recurrent: Recurrent matrices under the names of `L2Config`.
        power: (connection,), see `mean_squares`.
        epoch: From 0.
    """
    term, per_nat = scored.reconstruction(published_mean=False)
    terms = {"reconstruction": term}
    for name, nats in divergences.items():
        one = getattr(config.kl, name)
        terms[f"kl_{name}"] = nats.mean() * (per_nat * one.weight * one.ramp.at(epoch))
    penalty = recurrent_penalty(recurrent, config.l2)
    if penalty is not None:
        terms["l2"] = penalty * config.l2.ramp.at(epoch)
    if config.messages.penalty > 0:
        terms["messages"] = power.sum() * config.messages.penalty
    return terms


def mean_squares(means: Tensor, kept: Tensor, connections: int) -> Tensor:
    """Mean square of each connection's messages, (connection,).

    Args:
        means: (trial, time, message), the channels of each connection after those of the one before.
        kept: bool (trial, time), bins before the padding.
        connections: How many.
    """
    squares = torch.where(kept[..., None], means, 0.0).square().unflatten(2, (connections, -1))
    return squares.mean(3).sum((0, 1)) / kept.sum().clamp_min(1)
