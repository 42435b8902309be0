"""The table of differences to the model that an analysis compares with."""

from __future__ import annotations

from dataclasses import fields

from ctd_analysis.figures.columns import Column, model_names, score_columns
from ctd_analysis.report.csv_link import csv_link
from ctd_analysis.report.html import Markup, join, table, tag
from ctd_analysis.report.numbers import interval, number
from ctd_analysis.report.swatch import swatch
from ctd_analysis.results import AnalysisResult, Difference

CSV_HEAD = tuple(column.name for column in fields(Difference))


def difference_table(result: AnalysisResult) -> Markup:
    """Models down, metrics across; nothing where no model was compared with."""
    if not result.differences:
        return Markup("")
    reference = result.differences[0].reference
    # The last row of a model is the mean of its seeds where it has several.
    cells = {(row.model, row.metric, row.definition): row for row in result.differences}
    shown = {(metric, definition) for _, metric, definition in cells}
    columns = [column for column in score_columns(result) if (column.metric, column.definition) in shown]
    rows = []
    for name in model_names(result):
        if name != reference:
            head = tag("th", swatch(result, name), " ", name, scope="row")
            rows.append([head, *[_cell(cells.get((name, c.metric, c.definition))) for c in columns]])
    head = [tag("th", "Model", scope="col"), *[_heading(column) for column in columns]]
    data = [[getattr(row, name) for name in CSV_HEAD] for row in result.differences]
    return join(
        [
            tag("h3", f"Differences to {reference}"),
            table(head, rows, caption=_caption(result, reference), class_="plain"),
            tag("p", "Download: ", csv_link("differences.csv", CSV_HEAD, data)),
        ]
    )


def _caption(result: AnalysisResult, reference: str) -> str:
    return (
        f"Each model's number less that of {reference}, means over seeds where there are several; "
        f"{result.interval:.0%} intervals from resamples of the trials that both models share, seeds held "
        "fixed. Bold: the interval doesn't hold 0."
    )


def _heading(column: Column) -> Markup:
    unit = tag("span", f" {column.unit}", class_="note") if column.unit else ""
    return tag("th", column.title, unit, scope="col")


def _cell(row: Difference | None) -> Markup:
    if row is None:
        return tag("td", "–", class_="none", title="one of the two models has no such number")
    sign = "+" if row.difference > 0.0 else ""
    holds_zero = row.low is None or row.high is None or row.low <= 0.0 <= row.high
    value = tag("span" if holds_zero else "strong", f"{sign}{number(row.difference)}")
    return tag("td", value, tag("span", interval(row.low, row.high), class_="interval"))
