"""Figures of validation trials: spikes over predicted rates and inferred inputs, and factors in 3-D."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ctd_contract.torch.training.figures import blank_figure, trajectories_figure
from ctd_models_torch.base import Inferred, LatentModel
from ctd_models_torch.batch import Batch
from ctd_models_torch.inference import PREDICTION, expected_of
from ctd_models_torch.recording import Recording

N_TRIALS = 3
N_TRAJECTORIES = 60


def draw_validation(recordings: Sequence[Recording], module: Any) -> dict[str, Figure]:
    """Figures of the first validation trials of each recording; see `TrainingFigures`.

    Args:
        recordings: Of the fit.
        module: The `ModelTraining`.
    """
    figures = {}
    model: LatentModel = module.model
    was_training = model.training
    model.eval()
    for index, recording in enumerate(recordings):
        own = model.one_session(index)
        ending = f"_{recording.name}" if len(recordings) > 1 else ""
        batch = Batch.of(recording.read(recording.rows("valid")[:N_TRAJECTORIES], module.device))
        with torch.no_grad():
            inferred = own.infer(batch)
        figures[f"rasters{ending}"] = rasters_figure(own, recording, batch, inferred)
        figures[f"factors{ending}"] = factors_figure(batch, inferred)
    model.train(was_training)
    return figures


def rasters_figure(model: LatentModel, recording: Recording, batch: Batch, inferred: Inferred) -> Figure:
    """Draw what was recorded over what is predicted, and inferred inputs: one column per trial."""
    expected = expected_of(model, recording.signal, recording.file.bin_width_s, inferred)
    unit = "spikes/s" if recording.signal == "spikes" else "activity"
    images = [(recording.signal, batch.data, "count" if unit == "spikes/s" else unit)]
    images.append((PREDICTION[recording.signal].replace("_", " "), expected, unit))
    inputs = inferred.signals.get("inferred_inputs")
    count = min(N_TRIALS, len(batch))
    figure = blank_figure(4 * count, 5.0 + (1.3 if inputs is not None else 0.0))
    heights = [2, 2] + [1] * (inputs is not None)
    panels = figure.subplots(
        len(heights), count, sharex=True, sharey="row", squeeze=False, height_ratios=heights
    )
    edges = _edges(recording.file.time, recording.file.bin_width_s)
    for row, (name, values, label) in zip(panels, images, strict=False):
        shown = [_bins(values, batch, trial) for trial in range(count)]
        # One scale for all trials; a few wild bins don't darken the rest.
        limits = {"vmin": float(min(0.0, *(one.min() for one in shown)))}
        limits["vmax"] = float(np.percentile(np.concatenate(shown), 99.5)) or 1.0
        for panel, one in zip(row, shown, strict=True):
            corners = (edges[0], edges[len(one)], one.shape[1] - 0.5, -0.5)
            panel.imshow(one.T, aspect="auto", extent=corners, interpolation="none", **limits)
        row[0].set_ylabel(f"{name}\nneuron")
        figure.colorbar(row[0].images[0], ax=list(row), label=label)
    for trial, panel in enumerate(panels[0]):
        panel.set_title(f"trial {int(recording.file.axis('trial')[int(batch.rows[trial])])}", fontsize=9)
    if inputs is not None:
        for trial, panel in enumerate(panels[2]):
            own = _bins(inputs, batch, trial)
            panel.plot(recording.file.time[: len(own)], own, linewidth=0.8)
        panels[2, 0].set_ylabel("inferred\ninputs")
    for panel in panels[-1]:
        panel.set_xlabel("time (s)")
    return figure


def factors_figure(batch: Batch, inferred: Inferred) -> Figure:
    """Draw factors, or states where there are none, in their three leading principal components."""
    values = inferred.signals.get("factors", inferred.states)
    return trajectories_figure([_bins(values, batch, trial) for trial in range(len(batch))])


def _bins(values: Tensor, batch: Batch, trial: int) -> np.ndarray:
    """The bins of a trial before its padding."""
    return values[trial, : int(batch.lengths[trial])].cpu().numpy()


def _edges(time: np.ndarray, width: float) -> np.ndarray:
    return np.append(time - width / 2, time[-1] + width / 2)
