"""The patch of colour that stands for a model."""

from __future__ import annotations

from ctd_analysis.figures.palette import LIGHT, color_index
from ctd_analysis.report.html import Markup, tag
from ctd_analysis.results import AnalysisResult


def swatch(result: AnalysisResult, name: str) -> Markup:
    """A patch in the colour of the model `name`."""
    index = color_index(result).get(name)
    color = "--truth" if index is None else f"--model-{index % len(LIGHT)}"
    return tag("span", class_="swatch", style=f"background:var({color})", aria_hidden="true")
