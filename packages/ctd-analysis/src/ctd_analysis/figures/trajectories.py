"""Trajectories and fixed points of the truth and of the models, in three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from mpl_toolkits.mplot3d import Axes3D

from ctd_analysis.figures.columns import typical_labels
from ctd_analysis.figures.palette import TRUTH_LIGHT, model_colors
from ctd_analysis.figures.points import KINDS, kind_of
from ctd_analysis.figures.style import MUTED, hide_unused, literal, new_figure, styled
from ctd_analysis.results import TRUTH, AnalysisResult, Floats, StateSpace


def drawn_in_truth(space: StateSpace) -> bool:
    """Whether a source is drawn in the truth's state space rather than in its own."""
    return space.trajectories_in_truth is not None


def trajectories_of(space: StateSpace) -> Floats:
    """Trajectories in the space that they are drawn in, padding as NaN, (trial, time, component)."""
    chosen = space.trajectories_in_truth if space.trajectories_in_truth is not None else space.trajectories
    padding = np.arange(chosen.shape[1]) >= np.asarray(space.lengths)[:, None]
    return np.where(padding[..., None], np.nan, chosen)


def points_of(space: StateSpace) -> Floats | None:
    """Fixed and slow points in the space that they are drawn in, (point, component)."""
    return space.points_in_truth if drawn_in_truth(space) else space.points_projected


def trajectory_figure(result: AnalysisResult, labels: Sequence[str] | None = None) -> Figure:
    """Draw a panel for the truth and one per model, mapped into the truth's space where there is a truth.

    Args:
        result: The analysis.
        labels: Models to be drawn; one of each name by default. Those without states are left out.
    """
    labels = typical_labels(result) if labels is None else list(labels)
    sources = [source for source in (TRUTH, *labels) if source in result.spaces]
    across = min(3, max(1, len(sources)))
    down = max(1, -(-len(sources) // across))
    with styled():
        # Constrained layout takes the labels of 3-D axes for wider than they are and may give up on them.
        width, height, foot = 3.0 * across, 2.9 * down + 0.5, 0.5
        figure = new_figure(width, height, layout=None)
        grid = figure.subplots(down, across, squeeze=False, subplot_kw={"projection": "3d"})
        edges = {"left": 0.1 / width, "right": 1.0 - 0.3 / width, "bottom": foot / height}
        figure.subplots_adjust(**edges, top=1.0 - 0.25 / height, wspace=0.12, hspace=0.12)
        axes = list(grid.flat)
        for axis, source in zip(axes, sources, strict=False):
            _panel(axis, result, source)
        hide_unused(axes, len(sources))
        figure.legend(handles=_legend(result, sources), loc="lower center", ncols=3, fontsize=7.5)
    return figure


def _panel(axis: Axes3D, result: AnalysisResult, source: str) -> None:
    space, truth = result.spaces[source], result.spaces.get(TRUTH)
    color = TRUTH_LIGHT if source == TRUTH else model_colors(result)[source]
    in_truth = truth is not None and source != TRUTH and drawn_in_truth(space)
    if truth is not None and in_truth:
        for trial in trajectories_of(truth):
            axis.plot(*trial.T, color="#9aa4af", linewidth=0.5, alpha=0.6)
    for trial in trajectories_of(space):
        axis.plot(*trial.T, color=color, linewidth=0.7, alpha=0.55)
    if truth is not None and in_truth:
        _pairs(axis, result, source)
        _points(axis, truth, TRUTH_LIGHT, 14)
    _points(axis, space, color, 26)
    axis.set_title(literal(source), color=color, pad=0.0)
    axis.set_box_aspect((1, 1, 1), zoom=1.05)  # pyright: ignore[reportArgumentType]  (a float is meant)
    _limits(axis, result, source)
    owner = "truth's " if in_truth or source == TRUTH else ""
    for index, name in enumerate("xyz"):
        getattr(axis, f"set_{name}label")(f"{owner}PC {index + 1}", labelpad=-10, fontsize=7, color=MUTED)
        getattr(axis, f"set_{name}ticklabels")([])
        getattr(axis, f"{name}axis").set_pane_color((1.0, 1.0, 1.0, 0.0))
    axis.grid(visible=False)


def _limits(axis: Axes3D, result: AnalysisResult, source: str) -> None:
    """Panels in the truth's space show the truth's box, so that positions can be compared."""
    truth = result.spaces.get(TRUTH)
    space = truth if truth is not None and drawn_in_truth(result.spaces[source]) else result.spaces[source]
    shown = [trajectories_of(space).reshape(-1, 3)]
    if (points := points_of(space)) is not None:
        shown.append(points)
    corners = np.concatenate(shown)
    low, high = np.nanmin(corners, axis=0), np.nanmax(corners, axis=0)
    flat = 0.5 * (high <= low)  # of two states, or one
    low, high = low - flat, high + flat
    axis.set_xlim3d(low[0], high[0])
    axis.set_ylim3d(low[1], high[1])
    axis.set_zlim3d(low[2], high[2])


def _points(axis: Axes3D, space: StateSpace, color: str, area: int) -> None:
    positions = points_of(space)
    if positions is None or space.points is None:
        return
    kinds = np.array(kind_of(space.points), int)
    for index, kind in enumerate(KINDS):
        x, y, z = positions[kinds == index].T
        if not kind.symbol:
            axis.scatter(
                x, y, z, s=area // 2, marker=kind.marker, color=color, linewidth=0.8, depthshade=False
            )
            continue
        face = color if kind.filled else "white"
        axis.scatter(
            x,
            y,
            z,
            s=area,
            marker=kind.marker,
            facecolor=face,
            edgecolor=color,
            linewidth=0.9,
            depthshade=False,
        )


def _pairs(axis: Axes3D, result: AnalysisResult, source: str) -> None:
    matching, true, own = (
        result.matches.get(source),
        points_of(result.spaces[TRUTH]),
        points_of(result.spaces[source]),
    )
    if matching is None or true is None or own is None:
        return
    for first, second in matching.pairs:
        axis.plot(*np.stack([true[first], own[second]]).T, color=TRUTH_LIGHT, linewidth=0.8)


def _legend(result: AnalysisResult, sources: Sequence[str]) -> list[Line2D]:
    present: set[int] = set()
    for source in sources:
        points = result.spaces[source].points
        present |= set(kind_of(points)) if points is not None else set()
    return [
        Line2D(
            [],
            [],
            linestyle="",
            marker=kind.marker,
            color=MUTED,
            markerfacecolor=MUTED if kind.filled else "white",
            markersize=5,
            label=kind.name,
        )
        for index, kind in enumerate(KINDS)
        if index in present
    ]
