"""LFADS's loss: the evidence lower bound, ramps, and a penalty on recurrent weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ctd_models_torch.lfads.config import L2Config, LFADSConfig
from ctd_models_torch.losses import Observation, masked_mean


@dataclass(frozen=True)
class Scored:
    """What a reconstruction is made of.

    Attributes:
        observation: From predictions to data.
        prediction: (trial, time, prediction).
        data: (trial, time, neuron).
        scored: bool, broadcastable to it; None where everything counts.
        weight: Of coordinated dropout, (trial, time, neuron) of mean 1, or None. It weights the sum and not
            the count, so that a random weight leaves the mean unbiased.
    """

    observation: Observation
    prediction: Tensor
    data: Tensor
    scored: Tensor | None
    weight: Tensor | None

    def reconstruction(self, *, published_mean: bool) -> tuple[Tensor, float]:
        """Reduce it.

        Args:
            published_mean: Average over what is scored, and leave the KL as it is.

        Returns:
            The term, and what a KL of 1 nat per trial counts beside it. For the bound both are divided by
            bins times neurons, a constant, which brings losses of recordings of all sizes to one scale.
        """
        data, scored = self.data, self.scored
        total = self.observation.total(self.prediction, data, scored, self.weight)
        if published_mean:
            return total / (
                data.numel() if scored is None else scored.expand_as(data).sum().clamp_min(1)
            ), 1.0
        share = 1.0 / (data.shape[1] * data.shape[2])
        return total * (share / len(data)), share


def recurrent_penalty(weights: Mapping[str, list[Tensor]], config: L2Config) -> Tensor | None:
    """Weighted mean of ½ w² over all recurrent weights whose part has a weight above 0; None without any.

    Args:
        weights: Recurrent matrices under the names of `L2Config`.
        config: Weight of each part.
    """
    scales = {name: getattr(config, name) for name in weights if getattr(config, name) > 0}
    matrices = [(scales[name], matrix) for name in scales for matrix in weights[name]]
    if not matrices:
        return None
    total = torch.stack([0.5 * scale * matrix.square().sum() for scale, matrix in matrices]).sum()
    return total / sum(matrix.numel() for _, matrix in matrices)


class Objective:
    """Weights the terms of a step.

    Args:
        config: The model's settings.
    """

    def __init__(self, config: LFADSConfig) -> None:
        self.config = config

    def session_terms(
        self,
        scored: Scored,
        divergences: Mapping[str, Tensor],
        epoch: int,
        behavior: tuple[Tensor, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Named terms of the trials of one recording.

        Args:
            scored: What is reconstructed of them.
            divergences: (trial,) nats, under the names of `KLConfig`.
            epoch: From 0.
            behavior: Weighted cost of each entry of behaviour, (trial, time, behavior), and where it counts.
        """
        config = self.config
        term, per_nat = scored.reconstruction(published_mean=config.reconstruction == "published_mean")
        terms = {"reconstruction": term}
        for name, nats in divergences.items():
            factor = per_nat * getattr(config.kl, name) * config.kl.ramp.at(epoch)
            target: float = getattr(config.kl, f"{name}_target")
            distance = nats.mean() if target == 0 else (nats.mean() - target).abs()
            terms[f"kl_{name}"] = distance * factor
        if behavior is not None:
            costs, measured = behavior
            of_trial = torch.where(measured, costs, 0.0).sum() * (per_nat / len(costs))
            published = config.reconstruction == "published_mean"
            terms["behavior"] = masked_mean(costs, measured) if published else of_trial
        return terms

    def terms(
        self, sessions: Sequence[Mapping[str, Tensor]], recurrent: Mapping[str, list[Tensor]], epoch: int
    ) -> dict[str, Tensor]:
        """Named terms whose sum is the loss.

        Args:
            sessions: Of each recording; recordings count alike, however many neurons or trials they have.
            recurrent: Recurrent matrices under the names of `L2Config`.
            epoch: From 0.
        """
        first, *others = sessions
        terms = dict(first)
        if others:
            terms = {name: torch.stack([s[name] for s in sessions]).mean() for name in first}
        penalty = recurrent_penalty(recurrent, self.config.l2)
        if penalty is not None:
            terms["l2"] = penalty * self.config.l2.ramp.at(epoch)
        return {name: value * self.config.loss_scale for name, value in terms.items()}
