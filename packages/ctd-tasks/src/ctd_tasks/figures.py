"""Figures of trials and of the state space. The one module that needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pytorch_lightning.loggers import TensorBoardLogger

from ctd_contract.torch.random import generator
from ctd_tasks.networks.base import array
from ctd_tasks.tasks.base import Rollout, Task
from ctd_tasks.tasks.trials import Trials

N_TRIALS = 3
N_TRAJECTORIES = 60


def trials_figure(trials: Trials, rollout: Rollout, task: Task, *, n_trials: int = N_TRIALS) -> Figure:
    """Draw inputs, and outputs over their targets, of the first trials: one column each."""
    n_trials = min(n_trials, len(trials))
    figure = _figure(4 * n_trials, 1 + 0.9 * (len(task.output_names) + 1))
    heights = [1.2, *[1] * len(task.output_names)]
    panels = figure.subplots(
        len(heights), n_trials, sharex=True, sharey="row", squeeze=False, height_ratios=heights
    )
    time_s = task.bin_width_s * np.arange(task.n_time)
    same = task.output_names == task.target_names
    for trial in range(n_trials):
        column = panels[:, trial]
        column[0].set_title(f"trial {trial}", fontsize=9)
        column[0].plot(time_s, rollout.inputs[trial], linewidth=0.7)
        for channel, panel in enumerate(column[1:]):
            if same:
                panel.plot(
                    time_s, trials.targets[trial, :, channel], color="0.7", linewidth=3, label="target"
                )
            panel.plot(time_s, rollout.outputs[trial, :, channel], color="C3", linewidth=1, label="output")
        column[-1].set_xlabel("time (s)")
    for panel, label in zip(panels[:, 0], ["inputs", *task.output_names], strict=True):
        panel.set_ylabel(label)
    panels[1, 0].legend(fontsize=7, loc="upper left")
    return figure


def state_space_figure(rollout: Rollout, *, n_trials: int = N_TRAJECTORIES) -> Figure:
    """Draw trajectories of the first trials in the three leading principal components of the states."""
    states = np.asarray(rollout.states[:n_trials], dtype=np.float64)
    mean = states.mean(axis=(0, 1))
    flat = (states - mean).reshape(-1, states.shape[-1])
    variances, axes = np.linalg.eigh(flat.T @ flat)
    axes, share = axes[:, ::-1][:, :3], variances[::-1][:3] / variances.sum()
    points = (states - mean) @ axes
    points = np.pad(points, [(0, 0), (0, 0), (0, 3 - points.shape[-1])])
    figure = _figure(6, 5.5)
    panel: Any = figure.add_subplot(projection="3d")
    for trajectory in points:
        panel.plot(*trajectory.T, color="C0", linewidth=0.4, alpha=0.6)
    panel.scatter(*points[:, 0].T, color="C2", s=12, label="first bin")
    panel.scatter(*points[:, -1].T, color="C3", s=12, label="last bin")
    for axis, label in zip("xyz", [f"PC {k + 1} ({s:.0%})" for k, s in enumerate(share)], strict=False):
        getattr(panel, f"set_{axis}label")(label)
    panel.legend(fontsize=7)
    panel.set_box_aspect(None, zoom=0.85)  # the third label lies outside the axes otherwise
    return figure


def save_figures(
    folder: Path, trials: Trials, rollout: Rollout, *, task: Task, prefix: str = ""
) -> dict[str, Figure]:
    """Save both figures as PNG under `folder` and return them."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {"trials": trials_figure(trials, rollout, task), "state_space": state_space_figure(rollout)}
    for name, figure in figures.items():
        figure.savefig(folder / f"{prefix}{name}.png", dpi=110)
    return figures


class TrainingFigures(lightning.Callback):
    """Figures of validation trials every so many epochs, to a folder and to TensorBoard.

    Args:
        folder: gets `training/epoch_<n>_<figure>.png`.
        interval: epochs between them.
    """

    def __init__(self, folder: Path, interval: int) -> None:
        self.folder, self.interval = folder / "training", interval

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Draw, when it is time to."""
        epoch = pl_module.current_epoch + 1
        if epoch % self.interval:
            return
        task, network = pl_module.task, pl_module.network
        trials = task.generate(N_TRAJECTORIES, seed=pl_module.seed, stream="valid")
        with torch.no_grad():
            tensors = trials.map(lambda values: torch.from_numpy(values).to(pl_module.device))
            noise = generator(pl_module.seed, "validation noise", device=pl_module.device)
            rollout = task.run(network, tensors, noise).map(array)
        figures = save_figures(self.folder, trials, rollout, task=task, prefix=f"epoch_{epoch:05d}_")
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                for name, figure in figures.items():
                    logger.experiment.add_image(name, _pixels(figure), epoch, dataformats="HWC")


def _figure(width: float, height: float) -> Figure:
    # Not through pyplot, which would keep every figure until it is closed and need a display to choose from.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
