"""The activity of a recording in memory, and the part of it that a predictor may see."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ctd_analysis.bits_per_spike import TrialLikelihood
from ctd_analysis.r2 import TrialR2
from ctd_analysis.results import Flags, Floats, Integers
from ctd_contract.reader import ContractFile


@dataclass(frozen=True)
class Seen:
    """What an encoder may see of some trials.

    Attributes:
        spikes: Counts of held-in neurons in bins that aren't to be predicted, (trial, time, neuron).
        recorded: Where they were observed and are no padding, the same shape.
        bins: Positions of these bins on the recording's time axis, (time,).
        inputs: Known inputs in these bins, (trial, time, input).
        regions: Region of each of these neurons, (neuron,).
        continuous: Whether these are no counts but continuous activity.
    """

    spikes: Floats
    recorded: Flags
    bins: Integers
    inputs: Floats
    regions: Integers
    continuous: bool = False


@dataclass(frozen=True)
class Counts:
    """Whole trials of a recording.

    Attributes:
        spikes: (trial, time, neuron); continuous activity where there are no counts.
        recorded: Where they were observed and are no padding, the same shape.
        held_out: Neurons that encoders don't see, (neuron,).
        forward: Bins that are to be predicted, (time,).
        bin_width_s: Width of a bin in s.
        condition: Condition of each trial, -1 without one, (trial,).
        inputs: Known inputs, (trial, time, input).
        regions: Region of each neuron, 0 without any, (neuron,).
        continuous: Whether these are no counts but continuous activity.
    """

    spikes: Floats
    recorded: Flags
    held_out: Flags
    forward: Flags
    bin_width_s: float
    condition: Integers
    inputs: Floats
    regions: Integers
    continuous: bool = False

    @classmethod
    def of(cls, file: ContractFile, *, or_activity: bool = False) -> Counts:
        """All trials of a recording.

        Args:
            file: The recording.
            or_activity: Whether continuous activity will do.

        Raises:
            ValueError: It has no spikes.
        """
        continuous = or_activity and "activity" in file.signals
        signal = "activity" if continuous else "spikes"
        if file.kind != "recording" or signal not in file.signals:
            raise ValueError(
                f"{file.path.name} has no spikes: reference predictions are of recorded spikes, "
                "but for linear_dynamics"
            )
        spikes = file.signals[signal][:].astype(np.float64)
        recorded = np.broadcast_to(file.valid_bins(slice(None))[..., None], spikes.shape)
        if "observed" in file.signals:
            recorded = recorded & (file.signals["observed"][:] > 0)
        condition = file.tables["trials"].get("condition", np.full(len(spikes), -1))
        inputs = file.signals["inputs"][:] if "inputs" in file.signals else np.zeros((*spikes.shape[:2], 0))
        regions = file.tables["neurons"].get("region", np.zeros(spikes.shape[2]))
        return cls(
            np.where(recorded, spikes, 0.0),
            recorded,
            file.held_out,
            file.forward,
            file.bin_width_s,
            np.asarray(condition).astype(np.int64),
            inputs.astype(np.float64),
            np.asarray(regions).astype(np.int64),
            continuous,
        )

    def take(self, trials: Flags | Integers) -> Counts:
        """Some of the trials."""
        return replace(
            self,
            spikes=self.spikes[trials],
            recorded=self.recorded[trials],
            condition=self.condition[trials],
            inputs=self.inputs[trials],
        )

    def hiding(self, neurons: Flags) -> Counts:
        """The same with other neurons held out, (neuron,)."""
        return replace(self, held_out=neurons)

    def seen(self) -> Seen:
        """What an encoder may see."""
        part = (slice(None), *np.ix_(~self.forward, ~self.held_out))
        return Seen(
            self.spikes[part],
            self.recorded[part],
            np.flatnonzero(~self.forward),
            self.inputs[:, ~self.forward],
            self.regions[~self.held_out],
            self.continuous,
        )

    def mean(self) -> Floats:
        """Mean count of a recorded bin, (neuron,); half a spike in all for neurons without any."""
        bins = np.maximum(self.recorded.sum(axis=(0, 1)), 1)
        return np.maximum(self.spikes.sum(axis=(0, 1)), 0.5) / bins

    def log_likelihood(self, expected: Floats, chosen: Flags) -> Floats:
        """Log likelihood of each neuron's counts up to a constant, (neuron,).

        Args:
            expected: Expected counts, (trial, time, neuron).
            chosen: What takes part, (time, neuron).
        """
        return TrialLikelihood.of(self.spikes, expected, self.recorded & chosen).log_likelihood.sum(axis=0)

    def score(self, expected: Floats, chosen: Flags) -> float:
        """How good a prediction is: bits per spike of counts, R² of continuous activity, all neurons pooled.

        Args:
            expected: (trial, time, neuron).
            chosen: What is scored, (time, neuron).
        """
        if not self.continuous:
            return self.bits_per_spike(expected, chosen)
        neurons = chosen.any(axis=0)
        scored: Flags = np.asarray((self.recorded & chosen)[..., neurons].all(axis=2))
        parts = TrialR2.of(self.spikes[..., neurons], expected[..., neurons], scored)
        return float(parts.variance_weighted(np.ones((1, len(self.spikes))))[0])

    def bits_per_spike(self, expected: Floats, chosen: Flags) -> float:
        """Bits per spike of expected counts.

        Args:
            expected: (trial, time, neuron).
            chosen: What is scored, (time, neuron).
        """
        neurons = chosen.any(axis=0)
        likelihood = TrialLikelihood.of(
            self.spikes[..., neurons], expected[..., neurons], (self.recorded & chosen)[..., neurons]
        )
        return float(likelihood.bits_per_spike(np.ones((1, len(self.spikes))))[0])
