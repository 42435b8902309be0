"""The tables of fixed points: per model, and every pair."""

from __future__ import annotations

import numpy as np

from ctd_analysis.figures.points import KINDS, kind_of
from ctd_analysis.report.csv_link import csv_link
from ctd_analysis.report.html import Markup, join, table, tag
from ctd_analysis.report.numbers import milliseconds, number
from ctd_analysis.report.swatch import swatch
from ctd_analysis.report.verdict import point_count
from ctd_analysis.results import TRUTH, AnalysisResult, FixedPoints, Matching

PAIR_HEAD = (
    "model",
    "true_point",
    "model_point",
    "true_kind",
    "model_kind",
    "distance",
    "multiplier_error",
    "rate_error_per_s",
    "true_time_constant_s",
    "model_time_constant_s",
)


def point_table(result: AnalysisResult) -> Markup:
    """One row for the truth and one per model: how many points, how many matched, how far off."""
    sources = [TRUTH] * (TRUTH in result.spaces) + [model.label for model in result.models]
    with_points = [source for source in sources if _points(result, source) is not None]
    if not with_points:
        return tag("p", "No fixed points were looked for: ", _why(result), ".", class_="missing")
    names = {model.label: model.name for model in result.models}
    rows = []
    for source in with_points:
        head = tag("th", swatch(result, names.get(source, TRUTH)), " ", source, scope="row")
        rows.append([head, *_row(result, source)])
    head = [
        "Source",
        "Fixed",
        "Stable",
        "Slow",
        "Matched",
        "Stable matched",
        "Missed",
        "Spurious",
        _hint(
            "Distance", "Median over pairs, in the truth's space, relative to the spread of the true states"
        ),
        _hint(
            "Multiplier error",
            "Median over pairs of the root mean squared difference of leading eigenvalues, per bin",
        ),
        _hint("Rate error (1/s)", "The same of ln(eigenvalue) / bin width"),
    ]
    without = [tag("li", tag("b", s), ": ", _reason(result, s), ".") for s in sources if s not in with_points]
    missing = tag("ul", *without, class_="missing") if without else Markup("")
    caption = "Fixed and slow points found, and those of each model paired with the truth's after alignment."
    return join([table(head, rows, caption=caption, class_="plain"), missing])


def _why(result: AnalysisResult) -> str:
    reasons = dict.fromkeys(item.reason for item in result.left_out if "fixed_point" in item.metric)
    return "; ".join(reasons) or "no file holds portable dynamics"


def _reason(result: AnalysisResult, label: str) -> str:
    models = {model.label: (model.name, model.seed) for model in result.models}
    name, seed = models.get(label, (label, -1))
    for item in result.left_out:
        if item.model in (name, label) and item.seed in (seed, -1) and "fixed_point" in item.metric:
            return f"no fixed points, {item.reason}"
    return "no fixed points, the file holds no portable dynamics"


def _points(result: AnalysisResult, source: str) -> FixedPoints | None:
    space = result.spaces.get(source)
    return space.points if space is not None else None


def _hint(title: str, hint: str) -> Markup:
    return tag("th", tag("abbr", title, title=hint), scope="col")


def _row(result: AnalysisResult, source: str) -> list[Markup]:
    points, matching, counts = (
        _points(result, source),
        result.matches.get(source),
        point_count(result, source),
    )
    cells: list[object] = ["", "", ""]
    if points is not None:
        cells = [int(points.is_fixed.sum()), int(points.stable.sum()), int(points.is_slow.sum())]
    if matching is None or counts is None:
        cells += [""] * 7
    else:
        cells += [f"{counts.fixed} of {counts.all_fixed}", f"{counts.stable} of {counts.all_stable}"]
        cells += [len(matching.missed), len(matching.spurious)]
        for values in (matching.distance, matching.multiplier_error, matching.rate_error_per_s):
            cells.append(number(float(np.median(values))) if len(values) else "–")
    return [tag("td", cell, class_="number") for cell in cells]


def leading_time_constant(points: FixedPoints, row: int) -> float:
    """Time constant in s of the eigenvalue of the largest modulus; negative where it grows."""
    return float(points.time_constants_s[row, 0])


def pair_rows(result: AnalysisResult, matching: Matching) -> list[tuple[object, ...]]:
    """One row per pair, as `PAIR_HEAD` names them."""
    truth, points = _points(result, TRUTH), _points(result, matching.label)
    if truth is None or points is None:
        return []
    true_kinds, kinds = kind_of(truth), kind_of(points)
    return [
        (
            matching.label,
            int(first),
            int(second),
            KINDS[true_kinds[first]].name,
            KINDS[kinds[second]].name,
            float(matching.distance[k]),
            float(matching.multiplier_error[k]),
            float(matching.rate_error_per_s[k]),
            leading_time_constant(truth, first),
            leading_time_constant(points, second),
        )
        for k, (first, second) in enumerate(matching.pairs)
    ]


def pair_table(result: AnalysisResult) -> Markup:
    """Every pair of points, folded away, and its download."""
    data = [row for matching in result.matches.values() for row in pair_rows(result, matching)]
    if not data:
        return Markup("")
    head = (
        "Model",
        "True point",
        "Model point",
        "True kind",
        "Model kind",
        "Distance",
        "Multiplier error",
        "Rate error (1/s)",
        "True τ (ms)",
        "Model τ (ms)",
    )
    rows = [[_pair_cell(index, value) for index, value in enumerate(row)] for row in data]
    link = tag("p", "Download: ", csv_link("fixed_point_pairs.csv", PAIR_HEAD, data))
    caption = "Matched pairs. τ is the leading eigenvalue's time constant, negative where the state leaves."
    return join(
        [
            link,
            tag(
                "details",
                tag("summary", f"All {len(data)} pairs"),
                table(head, rows, caption=caption, class_="plain"),
            ),
        ]
    )


def _pair_cell(index: int, value: object) -> Markup:
    if isinstance(value, float):
        return tag("td", milliseconds(value) if index >= 8 else number(value), class_="number")
    return tag("td", value, class_="number" if isinstance(value, int) else None)
