"""The section of scores: the table, what is missing, and all numbers."""

from __future__ import annotations

from ctd_analysis.figures.columns import Cell, Column, cell, definition_of, model_names, score_columns
from ctd_analysis.report.csv_link import csv_link
from ctd_analysis.report.definitions import anchor
from ctd_analysis.report.html import Markup, join, table, tag
from ctd_analysis.report.numbers import count, interval, listing, number, spread
from ctd_analysis.report.swatch import swatch
from ctd_analysis.results import AnalysisResult

ROW_HEAD = ("dataset", "model", "seed", "split", "metric", "definition", "value", "low", "high")


def score_table(result: AnalysisResult) -> Markup:
    """Models down, metrics across; the best of each column is marked."""
    columns, names = score_columns(result), model_names(result)
    if not columns:
        return tag("p", "No metric could be computed.", class_="missing")
    cells = {(name, column): cell(result, name, column) for name in names for column in columns}
    best = {
        column: max((found.value for name in names if (found := cells[name, column])), default=None)
        for column in columns
    }
    rows = []
    for name in names:
        head = tag("th", swatch(result, name), " ", name, _seed_count(result, name), scope="row")
        rows.append(
            [head, *[score_cell(cells[name, c], best[c] if len(names) > 1 else None) for c in columns]]
        )
    head = [tag("th", "Model", scope="col"), *[score_heading(result, column) for column in columns]]
    return table(head, rows, caption=_caption(result), class_="scores")


def _caption(result: AnalysisResult) -> str:
    several = any(len({m.seed for m in result.models if m.name == name}) > 1 for name in model_names(result))
    extent = f"{result.interval:.0%} intervals from a bootstrap over trials"
    if several:
        extent = f"mean ± sd over seeds where a model has several, otherwise {extent}"
    on = f"the {result.split} split, {count(result.n_trials, 'trial')}"
    return f"Scores on {on}; {extent}. The best of each column is bold."


def _seed_count(result: AnalysisResult, name: str) -> Markup:
    seeds = [model.seed for model in result.models if model.name == name]
    return tag("span", f" {len(seeds)} seeds", class_="note") if len(seeds) > 1 else Markup("")


def score_heading(result: AnalysisResult, column: Column) -> Markup:
    """Head of a column, which leads to its definition."""
    definition = definition_of(result, column)
    hint = f"{definition.formula}. {definition.text}" if definition else None
    link = tag("a", column.title, href=f"#{anchor(column.metric, column.definition)}", title=hint)
    unit = tag("span", f" {column.unit}", class_="note") if column.unit else ""
    return tag("th", link, unit, scope="col")


def score_cell(found: Cell | None, best: float | None = None) -> Markup:
    """A number with its interval, or with its spread over seeds."""
    if found is None:
        return tag("td", "–", class_="none", title="not available, see below the table")
    extent = f"± {spread(found.sd)}" if found.sd is not None else interval(found.low, found.high)
    is_best = best is not None and found.value == best
    value = tag("strong", number(found.value)) if is_best else tag("span", number(found.value))
    return tag("td", value, tag("span", extent, class_="interval"), class_="best" if is_best else None)


def left_out(result: AnalysisResult) -> Markup:
    """What could not be computed, an entry per reason and set of models."""
    models: dict[tuple[str, str], dict[str, None]] = {}
    for item in result.left_out:
        models.setdefault((item.metric, item.reason), {})[item.model or "all models"] = None
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (metric, reason), names in models.items():
        groups.setdefault((reason, tuple(names)), []).append(metric)
    if not groups:
        return Markup("")
    items = [
        tag(
            "li",
            join([tag("code", metric) for metric in metrics], ", "),
            f" of {listing(list(names))}: {reason}.",
        )
        for (reason, names), metrics in groups.items()
    ]
    return join([tag("h3", "Not available"), tag("ul", *items, class_="missing")])


def _code(metric: str) -> Markup:
    return tag("code", metric)


def all_numbers(result: AnalysisResult) -> Markup:
    """Every number, folded away, and its download."""
    data = [[getattr(row, name) for name in ROW_HEAD] for row in result.metrics]
    written = [
        [
            tag("td", value) if isinstance(value, str) else tag("td", _plain(value), class_="number")
            for value in row
        ]
        for row in data
    ]
    link = tag("p", "Download: ", csv_link("metrics.csv", ROW_HEAD, data))
    body = table(ROW_HEAD, written, caption="All numbers, every split, seed and definition", class_="plain")
    return join([link, tag("details", tag("summary", f"All {len(data)} numbers"), body)])


def _plain(value: float | int | None) -> str:
    return str(value) if isinstance(value, int) else number(value)
