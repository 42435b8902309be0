"""Figures of trials and of the state space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from ctd_contract.torch.random import generator
from ctd_contract.torch.training.figures import blank_figure, save_all, trajectories_figure
from ctd_tasks.networks.base import array
from ctd_tasks.tasks.base import Rollout, Task
from ctd_tasks.tasks.trials import Trials

N_TRIALS = 3
N_TRAJECTORIES = 60


def trials_figure(trials: Trials, rollout: Rollout, task: Task, *, n_trials: int = N_TRIALS) -> Figure:
    """Draw inputs, and outputs over their targets, of the first trials: one column each."""
    n_trials = min(n_trials, len(trials))
    figure = blank_figure(4 * n_trials, 1 + 0.9 * (len(task.output_names) + 1))
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
    return trajectories_figure(list(np.asarray(rollout.states[:n_trials])))


def save_figures(folder: Path, trials: Trials, rollout: Rollout, *, task: Task) -> None:
    """Save both figures as PNG under `folder`."""
    save_all(figures_of(trials, rollout, task), folder)


def figures_of(trials: Trials, rollout: Rollout, task: Task) -> dict[str, Figure]:
    """Both figures."""
    return {"trials": trials_figure(trials, rollout, task), "state_space": state_space_figure(rollout)}


def draw_validation(module: Any) -> dict[str, Figure]:
    """Both figures of validation trials of a network in training."""
    task, network = module.task, module.network
    trials = task.generate(N_TRAJECTORIES, seed=module.seed, stream="valid")
    with torch.no_grad():
        tensors = trials.map(lambda values: torch.from_numpy(values).to(module.device))
        noise = generator(module.seed, "validation noise", device=module.device)
        rollout = task.run(network, tensors, noise).map(array)
    return figures_of(trials, rollout, task)
