"""Fixed points and their matching as rows of the table of metrics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ctd_analysis.results import Definition, FixedPoints, Floats, Matching

_SOURCE = "ours; search after Sussillo and Barak, Opening the black box, 2013"
_SEARCH = (
    "points with |F(x, u) - x| below the tolerance, found by Newton's method from visited states under a "
    "constant input u, merged when closer than the separation"
)
_PAIRS = (
    "one-to-one assignment of least total distance |A m + c - x| / s between true fixed points x and model "
    "points m, pairs beyond the cut-off refused; (A, c) = affine map that fits the training states, s = root "
    "mean squared distance of true states from their mean"
)


def _definition(metric: str, name: str, formula: str, text: str) -> Definition:
    return Definition(name=name, metric=metric, formula=formula, text=text, source=_SOURCE)


_COUNTS: tuple[tuple[Definition, Callable[[FixedPoints], int]], ...] = (
    (
        _definition("fixed_points", "newton-1", f"number of {_SEARCH}", "How many fixed points were found."),
        lambda points: int(points.is_fixed.sum()),
    ),
    (
        _definition(
            "fixed_points_stable",
            "newton-1",
            f"number of {_SEARCH}, with all |eigenvalue of dF/dx| < 1",
            "How many of them are stable.",
        ),
        lambda points: int(points.stable.sum()),
    ),
    (
        _definition(
            "fixed_points_slow",
            "newton-1",
            "number of local minima of |F(x, u) - x| above the tolerance and below the slow speed",
            "How many slow points were found: where the dynamics nearly stand still.",
        ),
        lambda points: int(points.is_slow.sum()),
    ),
)

_KINDS = (("", "fixed points"), ("_stable", "stable fixed points"))
_MATCHES = {
    "matched": ("pairs", "How many {kind} of the truth have a partner in the model."),
    "missed": ("the truth's without a partner", "How many {kind} of the truth the model misses."),
    "spurious": (
        "the model's without a partner",
        "How many {kind} of the model have no partner in the truth.",
    ),
}
_ERRORS = {
    "distance": (
        "mean over pairs of |A m + c - x| / s",
        "How far the pairs are apart, relative to the spread of the true states.",
    ),
    "multiplier_error": (
        "mean over pairs of the root mean squared difference of the leading eigenvalues of dF/dx, matched",
        "How different the linear dynamics around the pairs are, per bin.",
    ),
    "rate_error_per_s": (
        "mean over pairs of the root mean squared difference of ln(eigenvalue) / bin width, matched",
        "The same as rates in 1/s, which don't depend on the bin width.",
    ),
}


def count_rows(points: FixedPoints) -> list[tuple[Definition, float]]:
    """How many points there are, for the truth and every model."""
    return [(definition, float(count(points))) for definition, count in _COUNTS]


def match_rows(truth: FixedPoints, model: FixedPoints, matching: Matching) -> list[tuple[Definition, float]]:
    """What the matching says, of all fixed points and of the stable ones alone.

    A stable pair joins a stable true point with a stable model point: a true attractor whose partner is
    unstable is missed, and a stable model point whose partner isn't is spurious.
    """
    first, second = matching.pairs[:, 0], matching.pairs[:, 1]
    both = truth.stable[first] & model.stable[second]
    everything = np.ones(len(first), dtype=bool)
    rows = []
    for (suffix, kind), chosen, n_truth, n_model in (
        (_KINDS[0], everything, truth.is_fixed.sum(), model.is_fixed.sum()),
        (_KINDS[1], both, truth.stable.sum(), model.stable.sum()),
    ):
        n_pairs = int(chosen.sum())
        numbers = {"matched": n_pairs, "missed": int(n_truth) - n_pairs, "spurious": int(n_model) - n_pairs}
        for name, (formula, text) in _MATCHES.items():
            form = _definition(
                f"fixed_points{suffix}_{name}",
                "affine-assignment-1",
                f"number of {kind}: {formula}, under the {_PAIRS}",
                text.format(kind=kind),
            )
            rows.append((form, float(numbers[name])))
        if n_pairs:
            rows += _error_rows(matching, chosen, suffix, kind)
    return rows


def _error_rows(matching: Matching, chosen, suffix: str, kind: str) -> list[tuple[Definition, float]]:
    values: dict[str, Floats] = {
        "distance": matching.distance,
        "multiplier_error": matching.multiplier_error,
        "rate_error_per_s": matching.rate_error_per_s,
    }
    return [
        (
            _definition(
                f"fixed_points{suffix}_{name}",
                "affine-assignment-1",
                f"{formula}; {kind}, under the {_PAIRS}",
                text,
            ),
            float(values[name][chosen].mean()),
        )
        for name, (formula, text) in _ERRORS.items()
    ]
