"""Scores of all models, a panel per metric, with intervals."""

from __future__ import annotations

from textwrap import fill

import numpy as np
from matplotlib.figure import Figure

from ctd_analysis.figures.columns import cell, model_names, score_columns
from ctd_analysis.figures.palette import LIGHT, color_index
from ctd_analysis.figures.style import MUTED, hide_unused, literal, new_figure, styled
from ctd_analysis.results import AnalysisResult

HEADING_WIDTH = 26  # characters that fit above a panel


def score_figure(result: AnalysisResult) -> Figure:
    """Draw every score as a dot with its interval, one panel per metric, one row per model.

    The interval is the bootstrap's over trials for a single seed, mean ± sd over seeds where there are
    several; the seeds are then drawn as small dots.
    """
    columns, names, index = score_columns(result), model_names(result), color_index(result)
    across = min(4, max(1, len(columns)))
    down = max(1, -(-len(columns) // across))
    with styled():
        lines = 1 + any(len(literal(column.heading)) > HEADING_WIDTH for column in columns)
        figure = new_figure(2.3 * across + 0.8, down * (0.22 * len(names) + 0.67 + 0.18 * lines))
        axes = list(figure.subplots(down, across, sharey=True, squeeze=False).flat)
        for axis, column in zip(axes, columns, strict=False):
            for row, name in enumerate(names):
                found = cell(result, name, column)
                if found is None:
                    axis.annotate(
                        "none", (0.02, row), xycoords=("axes fraction", "data"), va="center", color=MUTED
                    )
                    continue
                color = LIGHT[index[name] % len(LIGHT)]
                if found.low is not None and found.high is not None:
                    axis.plot([found.low, found.high], [row, row], color=color, linewidth=1.6)
                axis.plot(found.value, row, "o", color=color, markersize=5)
                if found.sd is not None:
                    axis.plot(
                        found.seeds,
                        np.full(len(found.seeds), row),
                        ".",
                        color=color,
                        alpha=0.45,
                        markersize=3,
                    )
            axis.set_title(fill(literal(column.heading), HEADING_WIDTH), loc="left")
            axis.set_yticks(range(len(names)), [literal(name) for name in names])
            axis.set_ylim(len(names) - 0.5, -0.5)
            axis.margins(x=0.12)
            axis.grid(axis="x", color="#e3e7eb", linewidth=0.6)
            axis.tick_params(left=False)
            axis.locator_params(axis="x", nbins=5)
        hide_unused(axes, len(columns))
    return figure
