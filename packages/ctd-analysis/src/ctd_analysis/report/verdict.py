"""The sentence on top of the report, computed from the numbers."""

from __future__ import annotations

from dataclasses import dataclass

from ctd_analysis.figures.columns import Cell, Column, cell, model_names, score_columns, typical_labels
from ctd_analysis.report.numbers import interval, number, spread
from ctd_analysis.results import TRUTH, AnalysisResult

STATES = ("state_r2_true_to_inferred", "state_r2_inferred_to_true")
ORDER = (*STATES, "rate_r2", "co_bps")
"""The metrics that may decide, the ones nearest to the dynamics first."""


@dataclass(frozen=True)
class PointCount:
    """How many fixed points of the truth a model has.

    Attributes:
        stable: Stable ones matched by a stable one.
        all_stable: Stable ones of the truth.
        fixed: Fixed ones matched.
        all_fixed: Fixed ones of the truth.
    """

    stable: int
    all_stable: int
    fixed: int
    all_fixed: int


def point_count(result: AnalysisResult, label: str) -> PointCount | None:
    """Count the matched fixed points of a model, None where there is no matching."""
    matching, truth, space = result.matches.get(label), result.spaces.get(TRUTH), result.spaces.get(label)
    if matching is None or truth is None or space is None or truth.points is None or space.points is None:
        return None
    pairs = matching.pairs
    both = truth.points.stable[pairs[:, 0]] & space.points.stable[pairs[:, 1]] if len(pairs) else []
    return PointCount(
        int(sum(both)), int(truth.points.stable.sum()), len(pairs), int(truth.points.is_fixed.sum())
    )


def ranking(result: AnalysisResult) -> tuple[Column | None, list[tuple[str, Cell]]]:
    """The metric that decides and the models that have it, best first.

    Where both directions of the state R² are known, a model is judged by the worse one: the first direction
    is blind to missing parts of the state, the second to superfluous ones. The deciding column is then the
    one in which the best model is worse.
    """
    columns = {column.metric: column for column in score_columns(result)}
    names = model_names(result)
    both = [columns[metric] for metric in STATES if metric in columns]
    if both:
        worst = {name: min(cells, key=_value) for name in names if (cells := _cells(result, name, both))}
        ranked = sorted(worst.items(), key=lambda item: -item[1][1].value)
        if ranked:
            return ranked[0][1][0], [(name, found) for name, (_, found) in ranked]
    for metric in ORDER[len(STATES) :]:
        if metric in columns:
            found = {name: entry for name in names if (entry := cell(result, name, columns[metric]))}
            return columns[metric], sorted(found.items(), key=lambda item: -item[1].value)
    return None, []


def _cells(result: AnalysisResult, name: str, columns: list[Column]) -> list[tuple[Column, Cell]]:
    found = [(column, cell(result, name, column)) for column in columns]
    return [(column, entry) for column, entry in found if entry is not None]


def _value(item: tuple[Column, Cell]) -> float:
    return item[1].value


def verdict(result: AnalysisResult) -> str:
    """One sentence: which model is best, by how much, and how many fixed points it shares with the truth."""
    column, ranked = ranking(result)
    if column is None or not ranked:
        return "The numbers that could decide between the models are missing; the reasons are below."
    name, best = ranked[0]
    judged = "the lower of its two state R²" if _has_both(result) else _lower(column.title)
    unit = f" {column.unit}" if column.unit else ""
    score = f"{judged} is {number(best.value)}{unit} {_spread(best)}".rstrip()
    sentence = f"{name} {_standing(result, column, ranked)}: {score}"
    if len(ranked) > 1:
        sentence += f", {_margin(best, *ranked[1])}"
    points = point_count(result, dict(zip(model_names(result), typical_labels(result), strict=True))[name])
    if points is not None:
        sentence += (
            f"; it has {points.stable} of the truth's {points.all_stable} stable fixed points and "
            f"{points.fixed} of all {points.all_fixed}"
        )
    return f"{sentence}."


def _standing(result: AnalysisResult, column: Column, ranked: list[tuple[str, Cell]]) -> str:
    if len(model_names(result)) == 1:
        return "was analysed alone"
    if len(ranked) == 1:
        return "is the only model that could be judged"
    if _overlap(ranked[0][1], ranked[1][1]):
        return f"leads, but its interval overlaps that of {ranked[1][0]}"
    return (
        "recovers the true dynamics best"
        if column.metric in STATES
        else f"has the best {_lower(column.title)}"
    )


def _overlap(best: Cell, second: Cell) -> bool:
    return best.low is not None and second.high is not None and best.low <= second.high


def _margin(best: Cell, name: str, second: Cell) -> str:
    if _overlap(best, second):
        return f"against {number(second.value)} {_spread(second)}".rstrip()
    return f"{number(best.value - second.value)} above {name}"


def _spread(found: Cell) -> str:
    if found.sd is None:
        return interval(found.low, found.high)
    return f"± {spread(found.sd)} over {len(found.seeds)} seeds"


def _lower(title: str) -> str:
    return title[0].lower() + title[1:]


def _has_both(result: AnalysisResult) -> bool:
    return set(STATES) <= {column.metric for column in score_columns(result)}
