"""The table of inferred inputs: against which true inputs, and what exact inference would get."""

from __future__ import annotations

from ctd_analysis.figures.columns import Column, cell, model_names
from ctd_analysis.report.html import Markup, join, table, tag
from ctd_analysis.report.scores import score_cell, score_heading
from ctd_analysis.report.swatch import swatch
from ctd_analysis.results import CEILINGS, AnalysisResult

COLUMNS = tuple(
    Column(metric, f"{form}-affine-train-1", title.format(name), "")
    for form, name in (("clean", "clean"), ("driving", "driving"), ("changing", "state-changing"))
    for metric, title in (
        ("input_r2_true_to_inferred", "{} → inferred"),
        ("input_r2_inferred_to_true", "inferred → {}"),
    )
)
CAPTION = (
    "R² of inferred inputs in both directions. Clean: what the task presents, before noise. Driving: what "
    "the network received, noise included. State-changing: clean inputs where the target of their channel "
    "changes; a pulse that sets a bit which is set already leaves no trace to infer it from. A ceiling is "
    "what these very inputs get on the same trials, as if a model had inferred them exactly."
)


def input_table(result: AnalysisResult) -> Markup:
    """Models and ceilings down, true inputs and directions across; nothing where no model infers inputs."""
    names = [*model_names(result), *CEILINGS]
    numbers = {(name, column): cell(result, name, column) for name in names for column in COLUMNS}
    shown = [name for name in names if any(numbers[name, column] for column in COLUMNS)]
    columns = [column for column in COLUMNS if any(numbers[name, column] for name in names)]
    if not columns:
        return Markup("")
    rows = []
    for name in shown:
        mark = "" if name in CEILINGS else join([swatch(result, name), " "])
        rows.append([tag("th", mark, name, scope="row"), *[score_cell(numbers[name, c]) for c in columns]])
    head = [tag("th", "Model", scope="col"), *[score_heading(result, column) for column in columns]]
    return join([tag("h3", "Inferred inputs"), table(head, rows, caption=CAPTION, class_="plain")])
