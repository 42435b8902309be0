"""What validation trials are scored against: how many entries count, and what constant rates would get."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ctd_models_torch.batch import Batch, measured_entries
from ctd_models_torch.errors import InputError
from ctd_models_torch.moments import ChannelMoments
from ctd_models_torch.recording import Recording

# Trials that are read at once.
BLOCK = 128


@dataclass(frozen=True)
class Region:
    """A part of each validation trial, and how well each neuron's own mean rate does there.

    Attributes:
        mask: (time, neuron) bool.
        null: Negative log-likelihood per trial of constant rates, each neuron's mean over the region.
        spikes: Per trial.
    """

    mask: Tensor
    null: float
    spikes: float

    def bits_per_spike(self, nll: Tensor) -> Tensor:
        """Mean gain over constant rates: (null - nll) / (spikes log 2), a scalar.

        The sums over all validation trials are divided, not each batch's.

        Args:
            nll: (trial, time, neuron), zero where nothing is scored.
        """
        per_trial = torch.where(self.mask.to(nll.device), nll, 0.0).sum() / len(nll)
        return (self.null - per_trial) / (self.spikes * math.log(2.0))


@dataclass(frozen=True)
class BehaviorScale:
    """How much each channel of behaviour varies in the validation trials.

    Attributes:
        scatter: Sum of squared deviations from the channel's mean per trial, (behavior,); 0 where nothing
            was measured.
    """

    scatter: Tensor

    @classmethod
    def of(cls, recording: Recording, rows: np.ndarray) -> BehaviorScale | None:
        """Measure it over some trials; None where no behaviour is predicted or none of them varies."""
        moments = ChannelMoments(recording.behavior_size)
        for start in range(0, len(rows) if recording.behavior_size else 0, BLOCK):
            batch = Batch.of(recording.read(rows[start : start + BLOCK]))
            if batch.behavior is not None:
                moments.add(batch.behavior, measured_entries(batch.behavior, batch.lengths))
        scatter = torch.from_numpy(moments.scatter / len(rows)).to(torch.float32)
        return cls(scatter) if (scatter > 0).any() else None

    def r2(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Mean over channels of 1 - squared errors / squared deviations, a scalar.

        The sums over all validation trials are divided, not each batch's.

        Args:
            prediction: (trial, time, behavior).
            batch: The trials, with their behaviour.
        """
        if batch.behavior is None:
            raise ValueError("behaviour is scored, but the recording was read without it")
        measured = measured_entries(batch.behavior, batch.lengths)
        error = torch.where(measured, prediction - batch.behavior, 0.0).square().sum((0, 1)) / len(batch)
        scatter = self.scatter.to(error.device)
        varies = scatter > 0
        scores = 1.0 - error / torch.where(varies, scatter, 1.0)
        return torch.where(varies, scores, 0.0).sum() / varies.sum()


@dataclass(frozen=True)
class Validation:
    """Constants of the validation trials.

    Attributes:
        scored_per_trial: Mean number of scored entries of a trial, which makes their score the mean over
            entries also where trials differ in length.
        regions: For spikes: ``bps`` (what encoders see), ``co_bps`` (held-out neurons in
            those bins) and ``fp_bps`` (forward bins), where there are any spikes.
        name: What the recording is called.
        trials: Number of validation trials.
        behavior: Of behaviour that is predicted as well, where any was measured.
    """

    scored_per_trial: float
    regions: Mapping[str, Region] = field(default_factory=dict)
    name: str = ""
    trials: int = 1
    behavior: BehaviorScale | None = None

    @classmethod
    def of(cls, recording: Recording) -> Validation:
        """Count over a recording's validation trials.

        Raises:
            InputError: Nothing of them is observed.
        """
        rows = recording.rows("valid")
        shape = (len(recording.file.time), recording.file.sizes["neuron"])
        counts, spikes = np.zeros(shape), np.zeros(shape)
        for start in range(0, len(rows), BLOCK):
            batch = Batch.of(recording.read(rows[start : start + BLOCK]))
            counts += batch.scored.expand_as(batch.data).sum(0).numpy()
            spikes += batch.data.sum(0, dtype=torch.float64).numpy()
        if not counts.any():
            raise InputError(f"{recording.file.path}: nothing of the validation trials is observed")
        regions = {}
        if recording.signal == "spikes":
            for name, mask in _masks(recording).items():
                null, total = _null(np.where(mask, counts, 0), np.where(mask, spikes, 0))
                if total > 0:
                    regions[name] = Region(torch.from_numpy(mask), null / len(rows), total / len(rows))
        behavior = BehaviorScale.of(recording, rows)
        return cls(counts.sum() / len(rows), regions, recording.name, len(rows), behavior)

    @property
    def names(self) -> list[str]:
        """Scores that depend on what there is to score."""
        return [*self.regions, *(["behavior_r2"] if self.behavior is not None else [])]


def of_all_sessions(
    own: Mapping[str, Tensor], index: int, sessions: Sequence[Validation]
) -> dict[str, Tensor]:
    """Scores of a batch of one of several recordings, for a mean over the trials of all batches.

    That mean is, under each name, the mean over the recordings that have such a score, however many trials
    each has, and under ``name/recording`` the recording's own. Hence a batch's scores are scaled up by what
    share of all trials its recording has, and stand beside zeros for the other recordings.

    Args:
        own: Means over the batch's trials; ``loss``, those of `Validation.names` and the model's figures.
        index: Of its recording.
        sessions: Of each recording.
    """
    weight = sum(session.trials for session in sessions) / sessions[index].trials
    some = dict.fromkeys(name for session in sessions for name in session.names)
    kept = ("loss", *some)
    scores = {}
    for name in dict.fromkeys([*kept, *own]):
        having = [i for i, session in enumerate(sessions) if name not in some or name in session.names]
        value = own[name] * weight if name in own else torch.zeros_like(own["loss"])
        scores[name] = value / len(having)
        if name in kept:
            scores |= {
                f"{name}/{sessions[i].name}": value if i == index else torch.zeros_like(value) for i in having
            }
    return scores


def _masks(recording: Recording) -> dict[str, np.ndarray]:
    forward, held_out = recording.file.forward[:, None], recording.file.held_out[None]
    return {
        "bps": ~forward & ~held_out,
        "co_bps": ~forward & held_out,
        "fp_bps": forward & np.ones_like(held_out),
    }


def _null(counts: np.ndarray, spikes: np.ndarray) -> tuple[float, float]:
    """Negative log-likelihood of each neuron's mean rate, without log y!, and the number of spikes."""
    entries, totals = counts.sum(0), spikes.sum(0)
    firing = totals > 0
    log_rates = np.log(totals[firing] / entries[firing])
    return float(totals.sum() - (totals[firing] * log_rates).sum()), float(totals.sum())
