"""The figure of a search: the score and every hyperparameter of all members over the epochs."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctd_models_torch.search.config import RangeConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 3
OTHERS, BEST, CHOSEN = "#9aa5b1", "#c2410c", "#7c2d12"
Rows = Sequence[Mapping[str, Any]]
# Epochs of a generation's begin and end, and a value.
Span = tuple[int, int, float]


def draw_search(
    path: Path, rows: Rows, checks: Rows, best: tuple[int, int], ranges: Sequence[RangeConfig], monitor: str
) -> None:
    """Draw it.

    Args:
        path: The picture.
        rows: Of ``members.csv``.
        checks: Of ``checks.csv``.
        best: Generation and position of the best member, whose ancestors stand out.
        ranges: The hyperparameters.
        monitor: Name of the score.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = 1 + len(ranges)
    columns = min(COLUMNS, count)
    lines = -(-count // columns)
    figure = Figure(figsize=(3.6 * columns, 2.5 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(lines, columns, sharex=True, squeeze=False).flatten()
    line_of_best = ancestors(rows, best)
    _scores(axes[0], checks, line_of_best, monitor)
    for panel, one in zip(axes[1:], ranges, strict=False):
        _values(panel, spans(rows, one.key), line_of_best, one)
    for panel in axes[count:]:
        panel.set_visible(False)
    for panel in axes[max(0, count - columns) : count]:
        panel.set_xlabel("epoch")
        panel.tick_params(labelbottom=True)
    partial = path.with_name(f".{path.name}.partial")
    figure.savefig(partial, dpi=150, format="png")
    os.replace(partial, path)


def ancestors(rows: Rows, best: tuple[int, int]) -> dict[int, int]:
    """Position of the best member's ancestor in each generation up to its own."""
    parent = {(row["generation"], row["member"]): row["parent"] for row in rows}
    generation, position = best
    found = {}
    for index in range(generation, -1, -1):
        found[index] = position
        position = parent[index, position]
    return found


def spans(rows: Rows, key: str) -> dict[int, dict[int, Span]]:
    """By member and generation: first and last epoch of the generation and the value in it."""
    ends: dict[int, int] = {}
    for row in rows:
        ends[row["generation"]] = max(row["epoch"], ends.get(row["generation"], 0))
    found: dict[int, dict[int, Span]] = {}
    for row in rows:
        generation = row["generation"]
        if not row["failure"]:
            span = (ends.get(generation - 1, 0), ends[generation], row[key])
            found.setdefault(row["member"], {})[generation] = span
    return found


def _scores(panel: Axes, checks: Rows, line_of_best: Mapping[int, int], monitor: str) -> None:
    members: dict[int, list[tuple[int, float]]] = {}
    chosen = []
    for check in checks:
        point = (check["epoch"], check["score"])
        members.setdefault(check["member"], []).append(point)
        if line_of_best.get(check["generation"]) == check["member"]:
            chosen.append(point)
    for points in members.values():
        panel.plot(*zip(*points, strict=True), color=OTHERS, linewidth=0.8, alpha=0.7)
    if chosen:
        panel.plot(*zip(*chosen, strict=True), color=BEST, linewidth=1.8, label="best and its ancestors")
        panel.plot(*chosen[-1], "o", color=CHOSEN, markersize=4)
        panel.legend(frameon=False, fontsize=8, loc="upper right")
    _zoom(panel, [score for points in members.values() for _, score in points])
    _finish(panel, f"valid {monitor}")


def _zoom(panel: Axes, scores: Sequence[float]) -> None:
    """Leave out what is far off: the first epochs and members that go wrong."""
    ordered = sorted(scores)
    if not ordered:
        return
    low, high = ordered[0], ordered[-1]
    middle, upper, lower = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.95, 0.05))
    low, high = max(low, middle - 4 * (middle - lower)), min(high, middle + 4 * (upper - middle))
    if low < high:
        margin = 0.06 * (high - low)
        panel.set_ylim(low - margin, high + margin)


def _values(
    panel: Axes, members: Mapping[int, Mapping[int, Span]], line_of_best: Mapping[int, int], one: RangeConfig
) -> None:
    values = [value for own in members.values() for _, _, value in own.values()]
    for own in members.values():
        _steps(panel, list(own.values()), OTHERS, 0.8)
    chosen = [members[position][index] for index, position in sorted(line_of_best.items())]
    _steps(panel, chosen, BEST, 1.8)
    panel.plot(chosen[-1][1], chosen[-1][2], "o", color=CHOSEN, markersize=4)
    if min(values) > 0 and (one.start == "log_uniform" or max(values) > 20 * min(values)):
        panel.set_yscale("log")
    if one.enforce:
        for bound in (one.low, one.high):
            if not (panel.get_yscale() == "log" and bound <= 0):
                panel.axhline(bound, color="black", linewidth=0.6, linestyle=":")
    _finish(panel, one.key)


def _steps(panel: Axes, own: Sequence[Span], color: str, width: float) -> None:
    """A line that is level in each generation, and broken where a member had failed."""
    epochs: list[float] = []
    values: list[float] = []
    for start, end, value in own:
        if epochs and epochs[-1] != start:
            epochs.append(start)
            values.append(math.nan)
        epochs += [start, end]
        values += [value, value]
    panel.plot(epochs, values, color=color, linewidth=width, alpha=0.7 if color == OTHERS else 1.0)


def _finish(panel: Axes, title: str) -> None:
    panel.set_title(title, fontsize=9, loc="left")
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
