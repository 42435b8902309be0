"""From features of the held-in neurons to all that a predictor is asked for, by regressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ctd_analysis.baselines.counts import Counts, Seen
from ctd_analysis.baselines.regression import fit_linear, fit_poisson
from ctd_analysis.baselines.search import Choice, Setting, search
from ctd_analysis.results import Flags, Floats

Features = Callable[[Seen], Floats]
"""Maps what is seen to features, (trial, seen bin, feature)."""

Prepare = Callable[[Counts], Callable[[Setting], Features]]
"""Learns from training trials what all settings share, then makes features by a setting."""

_SELECTING = 0.25
# A stream of its own: the seed's other draws stay what they are.
_STREAM = 7


def regress_bins(features: Features, train: Counts, neurons: Flags, ridge: float) -> Features:
    """Regress the counts of some neurons on the features of the same bin.

    Returns:
        A function from what is seen to expected counts, (trial, seen bin, neuron).
    """
    seen = train.seen()
    values = features(seen)
    part = (slice(None), *np.ix_(~train.forward, neurons))
    rows = values.reshape(-1, values.shape[2])
    flat = (-1, int(neurons.sum()))
    fit = fit_linear if train.continuous else fit_poisson
    fitted = fit(rows, train.spikes[part].reshape(flat), train.recorded[part].reshape(flat), ridge)
    return lambda seen: fitted(features(seen))


def regress_forward(features: Features, train: Counts, ridge: float) -> Features:
    """Regress each forward bin of each neuron on the features of the seen bin that is nearest before it.

    Forward bins before the first seen bin take that one.

    Returns:
        A function from what is seen to expected counts, (trial, forward bin, neuron).
    """
    seen = train.seen()
    values = features(seen)
    forward = np.flatnonzero(train.forward)
    last = np.maximum(np.searchsorted(seen.bins, forward) - 1, 0)
    fit = fit_linear if train.continuous else fit_poisson
    fits = [
        fit(values[:, bin_], train.spikes[:, target], train.recorded[:, target], ridge)
        for target, bin_ in zip(forward, last, strict=True)
    ]

    def expected(seen: Seen) -> Floats:
        values = features(seen)
        return np.stack([one(values[:, bin_]) for one, bin_ in zip(fits, last, strict=True)], axis=1)

    return expected


def select_bins(
    prepare: Prepare,
    train: Counts,
    valid: Counts,
    candidates: Mapping[str, Sequence[float]],
    seed: int,
) -> tuple[Setting, Choice]:
    """Choose settings by how well neurons are predicted that aren't among the features.

    They are the held-out ones or, where a recording holds none out, a quarter of all drawn by the seed.
    """
    hidden = train.held_out
    if not hidden.any():
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM,)))
        drawn = random.permutation(len(hidden))[: max(1, round(_SELECTING * len(hidden)))]
        hidden = np.isin(np.arange(len(hidden)), drawn)
    train, valid = train.hiding(hidden), valid.hiding(hidden)
    scored, make = ~train.forward[:, None] & hidden, prepare(train)

    def score(setting: Setting) -> float:
        predicted = regress_bins(make(setting), train, hidden, setting["ridge"])
        expected = np.ones(valid.spikes.shape)
        expected[(slice(None), *np.ix_(~valid.forward, hidden))] = predicted(valid.seen())
        return valid.score(expected, scored)

    return search(candidates, score)


def select_forward(
    prepare: Prepare,
    train: Counts,
    valid: Counts,
    candidates: Mapping[str, Sequence[float]],
) -> tuple[Setting, Choice]:
    """Choose settings by how well the forward bins are predicted."""
    scored, make = np.broadcast_to(train.forward[:, None], train.spikes.shape[1:]), prepare(train)

    def score(setting: Setting) -> float:
        predicted = regress_forward(make(setting), train, setting["ridge"])
        expected = np.ones(valid.spikes.shape)
        expected[:, valid.forward] = predicted(valid.seen())
        return valid.score(expected, scored)

    return search(candidates, score)
