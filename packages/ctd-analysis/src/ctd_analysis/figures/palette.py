"""One colour per model and one for the truth, the same in every figure and table.

The colours are Okabe and Ito's, told apart by colour-blind readers, darkened where they were too faint on
white; the dark set is the same hues lightened.
"""

from __future__ import annotations

from ctd_analysis.results import AnalysisResult

TRUTH_LIGHT, TRUTH_DARK = "#23272d", "#d9dee4"
LIGHT = ("#0072b2", "#d55e00", "#009e73", "#b0558a", "#c78500", "#3b9fd6", "#6b4c9a", "#7a7a1f")
DARK = ("#4ba6e0", "#f0813d", "#2fc49a", "#e29ac6", "#f2b53c", "#8ccbf2", "#b59ae0", "#c9c95a")
DASHES = ("solid", "dash", "dot")
"""Line styles of the first eight models, the next eight and the rest."""


def color_index(result: AnalysisResult) -> dict[str, int]:
    """Number each model's name in order of appearance; all seeds of a model share it."""
    names = dict.fromkeys(model.name for model in result.models)
    return {name: index for index, name in enumerate(names)}


def model_colors(result: AnalysisResult) -> dict[str, str]:
    """Colour of each model's label on white."""
    index = color_index(result)
    return {model.label: LIGHT[index[model.name] % len(LIGHT)] for model in result.models}


def dash(index: int) -> str:
    """Line style of the model of this number."""
    return DASHES[min(index // len(LIGHT), len(DASHES) - 1)]
