"""Every number of a suite in one table: CSV, Markdown, and a page that leads to the reports."""

from __future__ import annotations

import csv
import html
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Row:
    """One number of one fit.

    Attributes:
        dataset: Name of the recording.
        model: Name of the model.
        seed: Its seed, -1 where it has none.
        split: Split that was scored, `all` where none belongs to it.
        metric: What was measured.
        definition: Its formula and version.
        value: The number.
        low: Lower end of its interval over trials, nan without.
        high: Upper end.
    """

    dataset: str
    model: str
    seed: int
    split: str
    metric: str
    definition: str
    value: float
    low: float
    high: float


COLUMNS = tuple(item.name for item in fields(Row))


def read_rows(path: Path) -> list[Row]:
    """The metrics of an analysis file, and the differences to a reference, `co_bps - lds`, where it has any.

    Of a model with several seeds the difference is that of their mean.
    """
    import ctd_contract as cc

    with cc.open(path) as file:
        rows = _rows(file.tables["metrics"], "value")
        compared = file.tables.get("differences", {})
        differences = _rows(compared, "difference") if compared else []
        references = compared["reference"].tolist() if compared else []
    of_models = {}
    for row, reference in zip(differences, references, strict=True):
        # The row of the mean comes after those of the seeds.
        key = (row.dataset, row.model, row.split, row.metric, row.definition)
        of_models[key] = replace(row, metric=f"{row.metric} - {reference}")
    return [*rows, *of_models.values()]


def _rows(table: Mapping[str, np.ndarray], value: str) -> list[Row]:
    columns = [table[value if name == "value" else name].tolist() for name in COLUMNS]
    return [Row(*values) for values in zip(*columns, strict=True)]


def write_leaderboard(folder: Path, rows: Sequence[Row], reports: Mapping[str, Path], *, title: str) -> None:
    """Write `leaderboard.csv`, `leaderboard.md` and `report.html`.

    Args:
        folder: Where to.
        rows: All numbers.
        reports: Name of each analysis to its report. One alone becomes the suite's report; of several, the
            suite's report is a page with the leaderboard that leads to copies of them.
        title: Of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "leaderboard.csv", _csv(rows))
    _write(folder / "leaderboard.md", f"# {title}\n\n{_markdown(rows)}")
    if len(reports) == 1:
        _write(folder / "report.html", next(iter(reports.values())).read_bytes())
        return
    links = {}
    for name, path in reports.items():
        links[name] = f"reports/{name.replace(' ', '-')}.html"
        _write(folder / links[name], path.read_bytes())
    _write(folder / "report.html", _page(rows, links, title))


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(["" if value != value else value for value in astuple(row)] for row in rows)
    return text.getvalue()


def summary(rows: Sequence[Row]) -> dict[tuple[str, str], list[list[str]]]:
    """For each dataset and split a table: a column for each model, a line for each metric and definition.

    A cell is the value, with the interval over trials for one seed; for several, their mean and standard
    deviation.
    """
    tables = {}
    for place in dict.fromkeys((row.dataset, row.split) for row in rows):
        chosen = [row for row in rows if (row.dataset, row.split) == place]
        models = list(dict.fromkeys(row.model for row in chosen))
        lines = [["metric", *models]]
        for metric, definition in dict.fromkeys((row.metric, row.definition) for row in chosen):
            same = [row for row in chosen if (row.metric, row.definition) == (metric, definition)]
            cells = [_cell([row for row in same if row.model == model]) for model in models]
            lines.append([f"{metric} ({definition})", *cells])
        tables[place] = lines
    return tables


def _cell(rows: Sequence[Row]) -> str:
    values = np.array([row.value for row in rows])
    if not len(values):
        return ""
    if len(values) > 1:
        return f"{values.mean():.3f} ± {values.std(ddof=1):.3f} ({len(values)} seeds)"
    interval = "" if np.isnan(rows[0].low) else f" [{rows[0].low:.3f}, {rows[0].high:.3f}]"
    return f"{values[0]:.3f}{interval}"


def _markdown(rows: Sequence[Row]) -> str:
    parts = []
    for (dataset, split), (head, *lines) in summary(rows).items():
        escaped = [
            [cell.replace("|", "\\|") for cell in line] for line in (head, ["---"] * len(head), *lines)
        ]
        drawn = "\n".join(f"| {' | '.join(line)} |" for line in escaped)
        parts.append(f"## {dataset}, {split}\n\n{drawn}\n")
    return "\n".join(parts)


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
th, td {{ border-bottom: 1px solid #ddd; padding: .3rem .7rem; text-align: left; white-space: nowrap; }}
</style></head><body><h1>{title}</h1>
{links}
{tables}
</body></html>
"""


def _page(rows: Sequence[Row], links: Mapping[str, str], title: str) -> str:
    tables = []
    for (dataset, split), (head, *lines) in summary(rows).items():
        body = "".join(_table_row("td", line) for line in lines)
        where = html.escape(f"{dataset}, {split}")
        tables.append(f"<h2>{where}</h2><table>{_table_row('th', head)}{body}</table>")
    listed = "".join(
        f'<li><a href="{html.escape(path)}">{html.escape(name)}</a></li>' for name, path in links.items()
    )
    return PAGE.format(title=html.escape(title), links=f"<ul>{listed}</ul>", tables="\n".join(tables))


def _table_row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _write(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    partial.write_bytes(content.encode() if isinstance(content, str) else content)
    partial.replace(path)
