"""Figures of a training run, to a folder and to TensorBoard. The one module here that needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pytorch_lightning.loggers import TensorBoardLogger

from ctd_contract.torch.training.module import TrainingModule


def blank_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    # Not through pyplot, which would keep every figure until it is closed and need a display to choose from.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def trajectories_figure(trajectories: list[np.ndarray], colors: list[str] | None = None) -> Figure:
    """Draw trajectories in their three leading principal components.

    Args:
        trajectories: Of each trial (time, state); lengths may differ.
        colors: Of each of them; all alike by default.
    """
    states = [np.asarray(one, dtype=np.float64) for one in trajectories]
    flat = np.concatenate(states)
    mean = flat.mean(axis=0)
    variances, axes = np.linalg.eigh((flat - mean).T @ (flat - mean))
    axes, share = axes[:, ::-1][:, :3], variances[::-1][:3] / max(variances.sum(), np.finfo(float).tiny)
    points = [np.pad((one - mean) @ axes, [(0, 0), (0, 3 - axes.shape[1])]) for one in states]
    figure = blank_figure(6, 5.5)
    panel: Any = figure.add_subplot(projection="3d")
    for one, color in zip(points, colors or ["C0"] * len(points), strict=True):
        panel.plot(*one.T, color=color, linewidth=0.4, alpha=0.6)
    panel.scatter(*np.stack([one[0] for one in points]).T, color="C2", s=12, label="first bin")
    panel.scatter(*np.stack([one[-1] for one in points]).T, color="C3", s=12, label="last bin")
    for axis, label in zip("xyz", [f"PC {k + 1} ({s:.0%})" for k, s in enumerate(share)], strict=False):
        getattr(panel, f"set_{axis}label")(label)
    panel.legend(fontsize=7)
    # The third label lies outside the axes otherwise.
    panel.set_box_aspect(None, zoom=0.85)
    return figure


def save_all(figures: Mapping[str, Figure], folder: Path, prefix: str = "") -> None:
    """Save figures as PNG, named after their keys."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(folder / f"{prefix}{name}.png", dpi=110)


class TrainingFigures(lightning.Callback):
    """Figures every so many epochs, to a folder and to TensorBoard.

    Args:
        folder: Gets ``training/epoch_<n>_<figure>.png``.
        interval: Epochs between them.
        draw: Makes named figures of the module as it is.
    """

    def __init__(
        self, folder: Path, interval: int, draw: Callable[[TrainingModule], Mapping[str, Figure]]
    ) -> None:
        self.folder, self.interval, self.draw = folder / "training", interval, draw

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Draw, when it is time to."""
        epoch = pl_module.current_epoch + 1
        if epoch % self.interval or not isinstance(pl_module, TrainingModule):
            return
        figures = self.draw(pl_module)
        save_all(figures, self.folder, f"epoch_{epoch:05d}_")
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                for name, figure in figures.items():
                    logger.experiment.add_image(name, _pixels(figure), epoch, dataformats="HWC")

    def finish(self, module: TrainingModule) -> None:
        """Draw the trained module, to the folder above."""
        save_all(self.draw(module), self.folder.parent)


def _pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
