"""Eigenvalues of the dynamics at matched fixed points against the unit circle, and their time constants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ctd_analysis.figures.columns import typical_labels
from ctd_analysis.figures.palette import TRUTH_LIGHT, model_colors
from ctd_analysis.figures.style import MUTED, hide_unused, literal, new_figure, styled
from ctd_analysis.results import TRUTH, AnalysisResult, FixedPoints

Complex = NDArray[np.complex128]


def leading_pair(result: AnalysisResult, label: str) -> tuple[FixedPoints | None, FixedPoints | None, int]:
    """Points of the truth and of a model, matched ones in the same order, and how many eigenvalues to show.

    Without a matching the model's own fixed points stand alone.
    """
    space, truth, matching = result.spaces.get(label), result.spaces.get(TRUTH), result.matches.get(label)
    points = space.points if space is not None else None
    if points is None:
        return None, None, 0
    if matching is None or truth is None or truth.points is None or not len(matching.pairs):
        return None, points.take(points.is_fixed), min(8, points.state.shape[1])
    pairs = matching.pairs
    return truth.points.take(pairs[:, 0]), points.take(pairs[:, 1]), matching.n_leading


def eigenvalue_labels(result: AnalysisResult, labels: Sequence[str] | None = None) -> list[str]:
    """The models among `labels` that have fixed points to show."""
    labels = typical_labels(result) if labels is None else labels
    found = {label: leading_pair(result, label)[1] for label in labels}
    return [label for label, points in found.items() if points is not None and len(points)]


def eigenvalue_figure(result: AnalysisResult, labels: Sequence[str] | None = None) -> Figure:
    """Draw a complex plane per model: eigenvalues of matched points, truth and model, and the unit circle.

    Args:
        result: The analysis.
        labels: Models to be drawn; one of each name by default. Those without fixed points are left out.
    """
    shown = eigenvalue_labels(result, labels)
    across = min(4, max(1, len(shown)))
    down = max(1, -(-len(shown) // across))
    with styled():
        figure = new_figure(2.4 * across + 0.3, 2.5 * down + 0.3)
        axes = list(figure.subplots(down, across, squeeze=False).flat)
        planes = {label: _planes(result, label) for label in shown}
        reach = max([1.0, *(float(np.max(np.abs(v), initial=0.0)) for pair in planes.values() for v in pair)])
        for axis, label in zip(axes, shown, strict=False):
            _panel(axis, label, model_colors(result)[label], *planes[label], 1.08 * reach)
        hide_unused(axes, len(shown))
        handles = [_handle("+", "truth"), _handle("o", "model")]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _planes(result: AnalysisResult, label: str) -> tuple[Complex, Complex]:
    """Finite leading eigenvalues of the truth (none without a matching) and of a model."""
    truth, points, leading = leading_pair(result, label)
    none = np.zeros(0, np.complex128)
    values = [s.eigenvalues[:, :leading].ravel() if s is not None else none for s in (truth, points)]
    return values[0][np.isfinite(values[0])], values[1][np.isfinite(values[1])]


def _handle(marker: str, name: str) -> Line2D:
    color = TRUTH_LIGHT if name == "truth" else MUTED
    return Line2D([], [], linestyle="", marker=marker, color=color, markerfacecolor="none", label=name)


def _panel(axis: Axes, label: str, color: str, truth: Complex, model: Complex, reach: float) -> None:
    angle = np.linspace(0.0, 2.0 * np.pi, 200)
    axis.plot(np.cos(angle), np.sin(angle), color="#9aa4af", linewidth=0.8)
    axis.plot(model.real, model.imag, "o", markerfacecolor="none", color=color, markersize=5, alpha=0.8)
    axis.plot(truth.real, truth.imag, "+", color=TRUTH_LIGHT, markersize=6, markeredgewidth=0.8)
    axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axis.set_xlabel("real part (per bin)")
    axis.set_ylabel("imaginary part")
    axis.set_title(literal(label), color=color)
