"""Which numbers are shown, under which heading, and what one cell of the score table holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctd_analysis.results import AnalysisResult, Definition, MetricRow

HEADINGS = {
    "rate_r2": ("Rate R²", ""),
    "log_rate_r2": ("Log-rate R²", ""),
    "state_r2_true_to_inferred": ("State R², true → inferred", ""),
    "state_r2_inferred_to_true": ("State R², inferred → true", ""),
    "input_r2_true_to_inferred": ("Input R², true → inferred", ""),
    "input_r2_inferred_to_true": ("Input R², inferred → true", ""),
    "bps": ("Fit to held-in spikes", "bits/spike"),
    "co_bps": ("Co-smoothing", "bits/spike"),
    "fp_bps": ("Forward prediction", "bits/spike"),
    "cycle_consistency": ("Cycle consistency", ""),
}
"""Metric -> heading and unit; other metrics are headed by their name."""


def heading(metric: str) -> tuple[str, str]:
    """Heading and unit of a metric, which may be of one region or so many bins: ``co_bps V2``."""
    name, _, of = metric.partition(" ")
    plain = name.replace("_r2", " R²").replace("_", " ")
    title, unit = HEADINGS.get(name, (plain[:1].upper() + plain[1:], ""))
    return f"{title} {of}".rstrip(), unit


@dataclass(frozen=True)
class Column:
    """One metric in one definition.

    Attributes:
        metric: The metric's name.
        definition: Its definition's name.
        title: Heading.
        unit: Unit, empty for a pure number.
    """

    metric: str
    definition: str
    title: str
    unit: str

    @property
    def heading(self) -> str:
        """Title with the unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True)
class Cell:
    """One model's number, over all its seeds.

    Attributes:
        value: The number, the mean over seeds where there are several.
        low: Lower end of the interval over trials, or mean - sd over seeds; None without either.
        high: Upper end of it.
        sd: Standard deviation over seeds; None for a single seed.
        seeds: The number of each seed.
    """

    value: float
    low: float | None
    high: float | None
    sd: float | None
    seeds: tuple[float, ...]


def is_scored(result: AnalysisResult, row: MetricRow) -> bool:
    """True for rows of the split that the report is about."""
    return row.split in (result.split, "all")


def definition_of(result: AnalysisResult, row: MetricRow | Column) -> Definition | None:
    """The definition of a number, None where the result has none."""
    return result.definitions.get(f"{row.metric}/{row.definition}")


def score_columns(result: AnalysisResult) -> list[Column]:
    """The columns of the score table: each metric in its first definition that is not a published one.

    A metric that only has a published definition is shown by that one. Numbers of fixed points have a table
    of their own.
    """
    chosen: dict[str, Column] = {}
    plain: set[str] = set()
    for row in result.metrics:
        if not is_scored(result, row) or row.metric.startswith("fixed_point"):
            continue
        definition = definition_of(result, row)
        published = definition is not None and definition.published
        if row.metric in plain or (published and row.metric in chosen):
            continue
        chosen[row.metric] = Column(row.metric, row.definition, *heading(row.metric))
        if not published:
            plain.add(row.metric)
    return list(chosen.values())


def cell(result: AnalysisResult, name: str, column: Column) -> Cell | None:
    """The number of all seeds of the model `name` in a column, None where there is none."""
    rows = [
        row
        for row in result.metrics
        if is_scored(result, row)
        and (row.model, row.metric, row.definition) == (name, column.metric, column.definition)
        and np.isfinite(row.value)
    ]
    if not rows:
        return None
    if len(rows) == 1:
        return Cell(rows[0].value, rows[0].low, rows[0].high, None, (rows[0].value,))
    values = np.array([row.value for row in rows])
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    return Cell(mean, mean - sd, mean + sd, sd, tuple(float(value) for value in values))


def model_names(result: AnalysisResult) -> list[str]:
    """Names of the models, without seeds, in order."""
    return list(dict.fromkeys(model.name for model in result.models))


def typical_labels(result: AnalysisResult) -> list[str]:
    """One label per model name: of several seeds the one whose first score is the median."""
    columns = score_columns(result)
    chosen = []
    for name in model_names(result):
        models = [model for model in result.models if model.name == name]
        rows = [
            result.row(m.label, columns[0].metric, columns[0].definition) if columns else None for m in models
        ]
        scores = np.array([row.value if row else np.nan for row in rows])
        # NaNs sort last, so the middle of the finite ones is found by counting these.
        middle = np.argsort(scores)[max(np.count_nonzero(np.isfinite(scores)) - 1, 0) // 2]
        chosen.append(models[middle].label)
    return chosen
