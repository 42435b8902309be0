"""Write a report: one page, and its figures beside it."""

from __future__ import annotations

import os
from pathlib import Path

from ctd_analysis.figures import eigenvalue_figure, rate_figure, score_figure, trajectory_figure
from ctd_analysis.figures.columns import score_columns
from ctd_analysis.figures.eigenvalues import eigenvalue_labels
from ctd_analysis.figures.style import save
from ctd_analysis.report.page import make_page
from ctd_analysis.results import AnalysisResult


def write_report(result: AnalysisResult, folder: str | Path) -> Path:
    """Write `report.html`, which needs nothing beside it, and the same content in `figures/` as PNG and SVG.

    Args:
        result: The analysis.
        folder: Where to; made if it isn't there. An older report is replaced whole or not at all.

    Returns:
        Path of the page.
    """
    folder = Path(folder)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    page = make_page(result, _save_figures(result, folder / "figures"))
    path = folder / "report.html"
    unfinished = path.with_name(".report.html.part")
    try:
        unfinished.write_text(page, encoding="utf-8", newline="\n")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _save_figures(result: AnalysisResult, folder: Path) -> dict[str, bytes]:
    """Draw what there is to be drawn; the PNGs also go into the page."""
    examples = result.examples
    made = {}
    if score_columns(result):
        made["scores"] = score_figure(result)
    if len(examples.trial) and (examples.rates or examples.true_rates is not None):
        made["rates"] = rate_figure(result)
    if result.spaces:
        made["trajectories"] = trajectory_figure(result)
    if eigenvalue_labels(result):
        made["eigenvalues"] = eigenvalue_figure(result)
    return {name: save(figure, folder, name) for name, figure in made.items()}
