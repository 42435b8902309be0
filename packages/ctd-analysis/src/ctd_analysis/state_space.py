"""States, fixed points and the map into the truth's space, of the truth and of each model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

import ctd_contract as cc
from ctd_analysis.affine_map import AffineMap, Moments
from ctd_analysis.fixed_points import FixedPointSearch, Region, find_fixed_points
from ctd_analysis.fixed_points.find import check_portable
from ctd_analysis.projection import Projection
from ctd_analysis.results import FixedPoints, Floats, Integers, StateSpace
from ctd_analysis.sources import Recording, TrialArray

RESTING, ZERO = "resting", "zero"
"""Choices of the constant input."""

# Trials, and about how many bins, for visited states, components and the map into the truth's space.
_VISITED_TRIALS = 200
_VISITED_BINS = 40_000


@dataclass(frozen=True)
class Visited:
    """States that a source visits on some trials.

    Attributes:
        trials: Positions of the trials.
        states: Bins that are not padding, (row, state).
        region: Their centre and spread.
        projection: Their principal components.
    """

    trials: Integers
    states: Floats
    region: Region
    projection: Projection


def visited_trials(recording: Recording, trials: Integers) -> Integers:
    """At most 200 of the trials, fewer when they are long, spread evenly."""
    count = min(len(trials), _VISITED_TRIALS, max(20, _VISITED_BINS // recording.file.sizes["time"]))
    return trials[np.linspace(0, len(trials) - 1, count).astype(np.int64)]


def visit(recording: Recording, states: TrialArray, trials: Integers) -> Visited:
    """The states on some trials."""
    rows = states.read(trials)[recording.valid(trials)]
    return Visited(trials, rows, Region.of(rows), Projection.of(rows))


def map_to_truth(model: Visited, truth: Visited, ridge: float) -> AffineMap:
    """Affine map from a model's states to the true ones of the same bins."""
    moments = Moments(model.states.shape[1], truth.states.shape[1])
    moments.update(model.states, truth.states)
    return moments.fit(ridge)


def constant_input(
    dynamics: cc.Dynamics,
    recording: Recording,
    signals: Mapping[str, TrialArray],
    trials: Integers,
    choice: str,
) -> Floats:
    """The input under which fixed points are searched.

    Args:
        dynamics: Whose input it is.
        recording: Whose known inputs the dynamics receive.
        signals: The source's own signals, inferred inputs above all.
        trials: Trials to look at.
        choice: `zero`, or `resting`: the median of each channel over the trials' bins. Of pulses and cues it
            is the value between them. Known inputs are taken before noise where the recording has them so.

    Raises:
        ValueError: A signal that the dynamics need isn't there.
    """
    if choice == ZERO:
        return np.zeros(dynamics.input_size)
    parts = [_resting(name, recording, signals, trials) for name in dynamics.inputs]
    resting = np.concatenate([*parts, np.zeros(0)])
    if len(resting) != dynamics.input_size:
        raise ValueError(
            f"the dynamics take {dynamics.input_size} input channels, {', '.join(dynamics.inputs)} have "
            f"{len(resting)}"
        )
    return resting


def _resting(name: str, recording: Recording, signals: Mapping[str, TrialArray], trials: Integers) -> Floats:
    candidates = {name: signals[name]} if name in signals else {}
    if name == "inputs":
        # What the network would receive without noise; a file's own copy of the inputs holds the noise.
        names = ("clean_inputs", "driving_inputs", "inputs")
        known = {key: recording.signals[key] for key in names if key in recording.signals}
        own = candidates.get(name)
        candidates = {
            key: array
            for key, array in known.items()
            if own is None or array.array.shape[2] == own.array.shape[2]
        } | candidates
    if not candidates:
        raise ValueError(f"the dynamics need the signal {name}, which the file doesn't hold")
    values = next(iter(candidates.values())).read(trials)[recording.valid(trials)]
    return np.median(values, axis=0)


def fixed_points_of(
    dynamics: cc.Dynamics | None,
    recording: Recording,
    signals: Mapping[str, TrialArray],
    visited: Visited,
    *,
    search: FixedPointSearch,
    choice: str,
    seed: int,
    source: str,
) -> FixedPoints:
    """Fixed and slow points of a source.

    Raises:
        ValueError: It has no dynamics, or opaque ones, or lacks their inputs.
    """
    if dynamics is None:
        raise ValueError("the file holds no dynamics")
    check_portable(dynamics)
    constant = constant_input(dynamics, recording, signals, visited.trials, choice)
    return find_fixed_points(
        dynamics,
        visited.states,
        constant,
        bin_width_s=recording.session.bin_width_s,
        search=search,
        seed=seed,
        source=source,
    )


def state_space(
    states: Floats,
    lengths: Integers,
    visited: Visited,
    points: FixedPoints | None,
    truth: Visited | None,
    to_truth: AffineMap | None,
    source: str,
) -> StateSpace:
    """What is drawn of one source.

    Args:
        states: Of the example trials, (trial, time, state).
        lengths: Their bins that are not padding, (trial,).
        visited: The source's states.
        points: Its fixed points.
        truth: The true states; None without truth.
        to_truth: Map into the truth's space; None for the truth itself.
        source: `truth` or the model's label.
    """

    def in_truth(values: Floats) -> Floats | None:
        if truth is None:
            return None
        return truth.projection(values if to_truth is None else to_truth(values))

    return StateSpace(
        source=source,
        trajectories=visited.projection(states),
        explained=visited.projection.explained,
        lengths=lengths,
        points=points,
        points_projected=None if points is None else visited.projection(points.state),
        trajectories_in_truth=in_truth(states),
        points_in_truth=None if points is None else in_truth(points.state),
    )
