"""How figures look and how they are saved. No global state of matplotlib is changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

MUTED = "#5c6570"
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "regular",
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.2,
    "svg.fonttype": "none",
    "svg.hashsalt": "ctd",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the house style for the length of a block, whatever a user's own matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def new_figure(
    width_in: float, height_in: float, *, layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """A figure of its own that pyplot knows nothing of, so there is nothing to close."""
    figure = Figure(figsize=(width_in, height_in), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def literal(text: str) -> str:
    """Text that matplotlib draws as it is: a dollar sign from a file never starts mathematics."""
    return text.replace("$", r"\$")


def hide_unused(axes: list[Axes], used: int) -> None:
    """Remove the panels after the first `used` of a grid."""
    for axis in axes[used:]:
        axis.remove()


def save(figure: Figure, folder: Path, name: str, *, dots_per_inch: int = 130) -> bytes:
    """Write `name.png` and `name.svg` into a folder and return the PNG's bytes.

    Time stamps are left out, so that the same result gives the same files.
    """
    with styled():
        buffer = BytesIO()
        figure.savefig(buffer, format="png", dpi=dots_per_inch, metadata={"Software": None})
        figure.savefig(folder / f"{name}.svg", format="svg", metadata={"Date": None})
    (folder / f"{name}.png").write_bytes(buffer.getvalue())
    return buffer.getvalue()
