"""A linear dynamical system of several regions, fitted by expectation maximisation.

x_t = A x_{t-1} + B u_t + c + noise, y_t = C x_t + d + noise; neurons see the latents of their own region
alone, all regions drive each other through A.

Source: Z. Ghahramani and G. Hinton, Parameter estimation for linear dynamical systems, 1996, with inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ctd_analysis.results import Flags, Floats, Integers

_SMALLEST_VARIANCE = 1e-6


@dataclass(frozen=True)
class LinearSystem:
    """The parameters.

    Attributes:
        transition: A, (state, state).
        drive: B and c, (state, input + 1).
        process: Covariance of the noise of the states, (state, state).
        emission: C, (neuron, state).
        offset: d, (neuron,).
        noise: Variance of the noise of each neuron, (neuron,).
        start: Mean of the state after bin 0, (state,).
        start_covariance: Its covariance, (state, state).
    """

    transition: Floats
    drive: Floats
    process: Floats
    emission: Floats
    offset: Floats
    noise: Floats
    start: Floats
    start_covariance: Floats

    def push(self, inputs: Floats) -> Floats:
        """B u + c, (..., state), of inputs (..., input)."""
        return inputs @ self.drive[:, :-1].T + self.drive[:, -1]


@dataclass(frozen=True)
class Trials:
    """Whole trials: bins from a trial's end on are padding.

    Attributes:
        activity: (trial, time, neuron).
        inputs: (trial, time, input).
        lengths: Bins that are no padding, (trial,).
    """

    activity: Floats
    inputs: Floats
    lengths: Integers

    def groups(self) -> Iterator[tuple[Flags, int]]:
        """Trials of one length, (trial,), and that length: they share all covariances."""
        for length in np.unique(self.lengths[self.lengths > 0]).tolist():
            yield self.lengths == length, length


@dataclass(frozen=True)
class Posterior:
    """What the activity of trials of one length says of their states.

    Attributes:
        filtered: Means given the bins up to each, (trial, time, state).
        smoothed: Means given all bins, (trial, time, state).
        covariance: Of the smoothed states, (time, state, state).
        lagged: Covariance of each state with the one before, (time - 1, state, state).
    """

    filtered: Floats
    smoothed: Floats
    covariance: Floats
    lagged: Floats


def infer(system: LinearSystem, activity: Floats, inputs: Floats) -> Posterior:
    """Kalman filter and Rauch-Tung-Striebel smoother of trials of one length, in the information form.

    Args:
        system: The parameters.
        activity: (trial, time, neuron).
        inputs: (trial, time, input).
    """
    scaled = system.emission / system.noise[:, None]
    told, precision = (activity - system.offset) @ scaled, system.emission.T @ scaled
    pushes, a = system.push(inputs), system.transition
    predicted, filtered = np.empty_like(pushes), np.empty_like(pushes)
    n_bins, n_states = pushes.shape[1:]
    before, after = np.empty((2, n_bins, n_states, n_states))
    for k in range(n_bins):
        predicted[:, k] = filtered[:, k - 1] @ a.T + pushes[:, k] if k else system.start
        before[k] = a @ after[k - 1] @ a.T + system.process if k else system.start_covariance
        after[k] = _symmetric(np.linalg.inv(np.linalg.inv(before[k]) + precision))
        filtered[:, k] = predicted[:, k] + (told[:, k] - predicted[:, k] @ precision) @ after[k]
    smoothed, covariance = filtered.copy(), after.copy()
    lagged = np.empty((n_bins - 1, n_states, n_states))
    for k in range(n_bins - 2, -1, -1):
        gain = np.linalg.solve(before[k + 1], a @ after[k]).T
        smoothed[:, k] += (smoothed[:, k + 1] - predicted[:, k + 1]) @ gain.T
        covariance[k] = _symmetric(after[k] + gain @ (covariance[k + 1] - before[k + 1]) @ gain.T)
        lagged[k] = covariance[k + 1] @ gain.T
    return Posterior(filtered, smoothed, covariance, lagged)


def states(system: LinearSystem, trials: Trials, *, ahead: int | None = None) -> Floats:
    """Mean states of all trials, (trial, time, state), zero in padding.

    Args:
        system: The parameters.
        trials: The trials.
        ahead: None for the states given all bins of a trial; otherwise those of bin k given the bins up to
            k - ahead and all inputs up to k.
    """
    found = np.zeros((*trials.activity.shape[:2], len(system.start)))
    for rows, length in trials.groups():
        inputs = trials.inputs[rows, :length]
        posterior = infer(system, trials.activity[rows, :length], inputs)
        x = posterior.smoothed if ahead is None else _ahead(system, posterior.filtered, inputs, ahead)
        found[rows, :length] = x
    return found


def _ahead(system: LinearSystem, filtered: Floats, inputs: Floats, bins: int) -> Floats:
    """States so many bins on; those before the first that can be told follow the mean start."""
    x, pushes = filtered, system.push(inputs)
    for _ in range(bins):
        start = np.broadcast_to(system.start, x[:, :1].shape)
        x = np.concatenate([start, x[:, :-1] @ system.transition.T + pushes[:, 1:]], axis=1)
    return x


def expectation_maximisation(
    system: LinearSystem, trials: Trials, state_regions: Integers, neuron_regions: Integers, steps: int
) -> LinearSystem:
    """Better parameters after some steps; each raises the likelihood of the trials.

    Args:
        system: To start from.
        trials: The trials.
        state_regions: Region of each state, (state,).
        neuron_regions: Region of each neuron, (neuron,).
        steps: How many.
    """
    for _ in range(steps):
        moments = _Moments(system, trials)
        system = moments.maximise(state_regions, neuron_regions)
    return system


class _Moments:
    """Expected sums over trials and bins that the parameters follow from."""

    def __init__(self, system: LinearSystem, trials: Trials) -> None:
        n, u = len(system.start), trials.inputs.shape[2] + 1
        self.system = system
        self.regressors, self.cross, self.moved = (
            np.zeros((n + u, n + u)),
            np.zeros((n, n + u)),
            np.zeros((n, n)),
        )
        self.states, self.seen, self.squares = np.zeros((n, n)), np.zeros((len(system.noise), n)), 0.0
        self.first, self.first_square = np.zeros(n), np.zeros((n, n))
        self.total, self.mean_state, self.mean_seen = 0, np.zeros(n), np.zeros(len(system.noise))
        self.steps, self.trials = 0, 0
        for rows, length in trials.groups():
            y, inputs = trials.activity[rows, :length], trials.inputs[rows, :length]
            self._add(infer(system, y, inputs), y, inputs)

    def _add(self, posterior: Posterior, y: Floats, inputs: Floats) -> None:
        x, covariance, count = posterior.smoothed, posterior.covariance, len(y)
        flat, seen = x.reshape(-1, x.shape[2]), y.reshape(-1, y.shape[2])
        self.states += flat.T @ flat + count * covariance.sum(axis=0)
        self.seen += seen.T @ flat
        self.squares = self.squares + (seen**2).sum(axis=0)
        self.mean_state, self.mean_seen = (
            self.mean_state + flat.sum(axis=0),
            self.mean_seen + seen.sum(axis=0),
        )
        self.total += len(flat)
        self.first += x[:, 0].sum(axis=0)
        self.first_square += x[:, 0].T @ x[:, 0] + count * covariance[0]
        self.trials += count
        old, new = (part.reshape(-1, x.shape[2]) for part in (x[:, :-1], x[:, 1:]))
        known = inputs[:, 1:].reshape(len(old), -1)
        rows, n = np.concatenate([old, known, np.ones((len(old), 1))], axis=1), x.shape[2]
        self.regressors += rows.T @ rows
        self.regressors[:n, :n] += count * covariance[:-1].sum(axis=0)
        self.cross += new.T @ rows
        self.cross[:, :n] += count * posterior.lagged.sum(axis=0)
        self.moved += new.T @ new + count * covariance[1:].sum(axis=0)
        self.steps += len(old)

    def maximise(self, state_regions: Integers, neuron_regions: Integers) -> LinearSystem:
        """The parameters of highest expected likelihood; an emission takes the states of its region alone."""
        n = len(self.first)
        weight = np.linalg.lstsq(self.regressors, self.cross.T, rcond=None)[0].T.astype(np.float64)
        process = (self.moved - weight @ self.cross.T) / max(self.steps, 1)
        start = self.first / self.trials
        spread = self.first_square / self.trials - np.outer(start, start)
        emission, offset = self._emission(state_regions, neuron_regions)
        explained = (emission * self.seen).sum(axis=1) + offset * self.mean_seen
        noise = (self.squares - explained) / self.total
        ridge = _SMALLEST_VARIANCE * np.eye(n)
        return LinearSystem(
            transition=weight[:, :n],
            drive=weight[:, n:],
            process=_symmetric(process) + ridge,
            emission=emission,
            offset=offset,
            noise=np.maximum(noise, _SMALLEST_VARIANCE),
            start=start,
            start_covariance=_symmetric(spread) + ridge,
        )

    def _emission(self, state_regions: Integers, neuron_regions: Integers) -> tuple[Floats, Floats]:
        emission, offset = np.zeros_like(self.seen), np.zeros(len(self.seen))
        for region in np.unique(neuron_regions):
            own, rows = state_regions == region, neuron_regions == region
            # States and a constant, which gives the offset.
            square = np.zeros((own.sum() + 1, own.sum() + 1))
            square[:-1, :-1] = self.states[np.ix_(own, own)]
            square[:-1, -1] = square[-1, :-1] = self.mean_state[own]
            square[-1, -1] = self.total
            seen = np.concatenate([self.seen[np.ix_(rows, own)], self.mean_seen[rows, None]], axis=1)
            weight = np.linalg.lstsq(square, seen.T, rcond=None)[0].T
            emission[np.ix_(rows, own)], offset[rows] = weight[:, :-1], weight[:, -1]
        return emission, offset


def from_latents(
    x: Floats, trials: Trials, state_regions: Integers, neuron_regions: Integers
) -> LinearSystem:
    """Parameters that fit given states best, as if these were known; where to start from.

    Args:
        x: (trial, time, state).
        trials: The trials, with the activity that the neurons' emissions are fitted to.
        state_regions: Region of each state, (state,).
        neuron_regions: Region of each neuron, (neuron,).
    """
    n_states = x.shape[2]
    known = LinearSystem(
        transition=np.zeros((n_states, n_states)),
        drive=np.zeros((n_states, trials.inputs.shape[2] + 1)),
        process=np.eye(n_states),
        emission=np.zeros((trials.activity.shape[2], n_states)),
        offset=np.zeros(trials.activity.shape[2]),
        noise=np.ones(trials.activity.shape[2]),
        start=np.zeros(n_states),
        start_covariance=np.eye(n_states),
    )
    moments = _Moments(known, Trials(trials.activity, trials.inputs, np.zeros_like(trials.lengths)))
    for rows, length in trials.groups():
        zero = np.zeros((length, n_states, n_states))
        certain = Posterior(x[rows, :length], x[rows, :length], zero, zero[1:])
        moments._add(certain, trials.activity[rows, :length], trials.inputs[rows, :length])
    return moments.maximise(state_regions, neuron_regions)


def _symmetric(matrix: Floats) -> Floats:
    return (matrix + matrix.T) / 2
