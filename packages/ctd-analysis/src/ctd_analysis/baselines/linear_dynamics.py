"""A linear dynamical system of the held-in neurons of all regions, and regressions on its states.

Counts are made alike in spread by square roots, as in F. Anscombe, Biometrika 35, 246, 1948; the regressions
that follow are of the counts themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import ctd_contract as cc
from ctd_analysis.baselines.counts import Counts, Seen
from ctd_analysis.baselines.linear_system import (
    LinearSystem,
    Trials,
    expectation_maximisation,
    from_latents,
    states,
)
from ctd_analysis.baselines.readout import Features, regress_bins
from ctd_analysis.baselines.search import Choice, Setting, search
from ctd_analysis.gaussian_smoothing import smooth
from ctd_analysis.results import Flags, Floats, Integers

STEPS = 30
# Standard deviation, in bins, of the smoothing under which the latents to start from are found.
_START_WIDTH = 2.0


class LinearStates:
    """Makes features: mean states of a linear system fitted to the training trials.

    The system of each number of latents is fitted once.

    Args:
        train: Training trials.
    """

    def __init__(self, train: Counts) -> None:
        self._train = train.seen()
        self._trials = trials_of(self._train)
        self._systems: dict[int, tuple[LinearSystem, Integers]] = {}

    def __call__(self, setting: Setting) -> Features:
        """Features by `n_latents`: the states given all seen bins."""
        system, _ = self.system(int(setting["n_latents"]))
        return lambda seen: states(system, trials_of(seen))

    def ahead(self, setting: Setting, bins: int) -> Features:
        """Features by `n_latents`: the states of a bin given those so many bins before, and all inputs."""
        system, _ = self.system(int(setting["n_latents"]))
        return lambda seen: states(system, trials_of(seen), ahead=bins)

    def system(self, n_latents: int) -> tuple[LinearSystem, Integers]:
        """The system with so many latents of each region, or one for each neuron, and the states' regions."""
        if n_latents not in self._systems:
            x, regions = _latents(self._train, n_latents)
            neurons = self._train.regions
            system = from_latents(x, self._trials, regions, neurons)
            system = expectation_maximisation(system, self._trials, regions, neurons, STEPS)
            self._systems[n_latents] = system, regions
        return self._systems[n_latents]


def trials_of(seen: Seen) -> Trials:
    """Whole trials of what is seen, counts by the square root.

    Raises:
        ValueError: Bins or neurons are missing inside trials.
    """
    there: Flags = np.asarray(seen.recorded.any(axis=2))
    lengths = there.sum(axis=1)
    whole = there == (np.arange(there.shape[1]) < lengths[:, None])
    if not whole.all() or not (seen.recorded == there[..., None]).all() or (np.diff(seen.bins) != 1).any():
        raise ValueError(
            "linear_dynamics needs held-in neurons observed in all bins of a trial, up to those to be "
            "predicted"
        )
    activity = seen.spikes if seen.continuous else 2.0 * np.sqrt(seen.spikes + 0.375)
    return Trials(activity, seen.inputs, lengths)


def _latents(seen: Seen, n_latents: int) -> tuple[Floats, Integers]:
    """Leading components of each region's smoothed activity, of unit variance, and the region of each."""
    activity = trials_of(seen).activity
    mean = activity[seen.recorded[..., 0]].mean(axis=0)
    smoothed = smooth(activity, seen.recorded, seen.bins, _START_WIDTH, otherwise=mean) - mean
    found, regions = [], []
    for region in np.unique(seen.regions).tolist():
        own = smoothed[..., seen.regions == region]
        rows = own[seen.recorded[..., 0]]
        variances, directions = np.linalg.eigh(rows.T @ rows / len(rows))
        kept = variances[::-1][:n_latents] > 0.0
        leading = directions[:, ::-1][:, :n_latents][:, kept] / np.sqrt(variances[::-1][:n_latents][kept])
        found.append(own @ leading)
        regions += [region] * leading.shape[1]
    return np.concatenate(found, axis=2), np.array(regions)


def forecast(
    linear: LinearStates,
    train: Counts,
    valid: Counts,
    counts: Counts,
    candidates: Mapping[str, Sequence[float]],
    bins: int,
    *,
    few: Counts,
) -> tuple[Floats, Choice]:
    """All neurons so many bins ahead.

    Args:
        linear: The systems.
        train: Training trials.
        valid: Trials that settings are chosen on, for this very reach.
        counts: All trials.
        candidates: `n_latents` and `ridge`.
        bins: How far ahead.
        few: Training trials of the regressions by which settings are chosen.

    Returns:
        Expected counts or activity, (trial, seen bin, neuron), and what was chosen.
    """
    everyone = np.ones(len(counts.held_out), bool)
    # Held-out neurons stand for all while settings are chosen: a regression of each is what takes time.
    standing = counts.held_out if counts.held_out.any() else everyone
    reached = (~counts.forward & (np.arange(len(counts.forward)) >= bins))[:, None] & standing

    def predicted(setting: Setting, learned: Counts, neurons: Flags, of: Counts) -> Floats:
        features = linear.ahead(setting, bins)
        return regress_bins(features, learned, neurons, setting["ridge"])(of.seen())

    def score(setting: Setting) -> float:
        expected = np.ones(valid.spikes.shape)
        told = predicted(setting, few, standing, valid)
        expected[(slice(None), *np.ix_(~valid.forward, standing))] = told
        return valid.score(expected, reached)

    setting, choice = search(candidates, score)
    return predicted(setting, train, everyone, counts), choice


@dataclass(frozen=True)
class LinearModel:
    """A fitted system as a model of the recording.

    Attributes:
        states: (trial, time, state).
        messages: From each region to each state, (trial, time, region, state); zero in the first bin.
        regions: Region of each state, (state,).
        dynamics: As the contract has them.
        probe: Of these dynamics.
    """

    states: Floats
    messages: Floats
    regions: Integers
    dynamics: cc.Dynamics
    probe: cc.Probe


def linear_model(linear: LinearStates, counts: Counts, n_latents: int, n_regions: int) -> LinearModel:
    """States, messages and dynamics of the system with so many latents.

    Args:
        linear: Its fit.
        counts: All trials; forward bins follow from the system alone.
        n_latents: Of each region.
        n_regions: Regions of the recording.
    """
    system, regions = linear.system(n_latents)
    x: Floats = np.zeros((*counts.spikes.shape[:2], len(regions)))
    seen = ~counts.forward
    x[:, seen] = states(system, trials_of(counts.seen()))
    pushes = system.push(counts.inputs)
    for k in np.flatnonzero(counts.forward).tolist():
        x[:, k] = x[:, k - 1] @ system.transition.T + pushes[:, k] if k else system.start
    there: Flags = np.asarray(counts.recorded.any(axis=2))
    x[~there] = 0.0
    messages = np.zeros((*x.shape[:2], n_regions, len(regions)))
    for region in range(n_regions):
        own = regions == region
        messages[:, 1:, region] = x[:, :-1, own] @ system.transition[:, own].T
        messages[:, 1:, region, own] -= x[:, :-1, own]
    messages[~there] = 0.0
    dynamics = cc.dynamics.Affine(system.transition, system.drive[:, :-1], system.drive[:, -1])
    points = cc.Probe.points(x[there], counts.inputs[there])
    probe = cc.Probe(*points, points[0] @ system.transition.T + system.push(points[1]))
    return LinearModel(x, messages, regions, dynamics, probe)
