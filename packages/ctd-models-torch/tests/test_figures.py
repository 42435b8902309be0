"""Figures of validation trials, during and after training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib import image, pyplot
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from toys import small_config

import ctd_contract as cc
from ctd_models_torch.batch import Batch
from ctd_models_torch.config import RecordingConfig
from ctd_models_torch.figures import factors_figure, rasters_figure
from ctd_models_torch.fitting import fit
from ctd_models_torch.lfads.config import ControllerConfig
from ctd_models_torch.recording import Recording


def test_they_are_drawn_during_training_and_in_the_end(recording, small_fit, tmp_path):
    settings = replace(small_fit, max_epochs=5, figure_interval=2, tensorboard=True)
    fit(recording, tmp_path, model=small_config("lfads"), training=settings)
    folder = tmp_path / "figures"
    names = sorted(path.name for path in (folder / "training").iterdir())
    assert names == [f"epoch_{e:05d}_{n}.png" for e in (2, 4) for n in ("factors", "rasters")]
    for name in ("factors", "rasters"):
        assert image.imread(folder / f"{name}.png")[..., :3].std() > 0.02
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    assert [event.step for event in events.Images("rasters")] == [2, 4]
    terms = {"train/reconstruction", "train/kl_initial_condition", "valid/bps"}
    assert terms <= set(events.Tags()["scalars"])
    assert pyplot.get_fignums() == []


def test_they_change_nothing_of_the_fit(recording, small_fit, tmp_path):
    digests = []
    for interval in (1, None):
        settings = replace(small_fit, figure_interval=interval)
        fitted = fit(recording, tmp_path / str(interval), model=small_config("lfads"), training=settings)
        with cc.open(fitted.path) as file:
            digests.append(file.signals["rates"][:])
    np.testing.assert_array_equal(*digests)
    assert not (tmp_path / "None" / "figures").exists()


def test_they_are_drawn_of_a_model_in_double_precision(recording, small_fit, tmp_path):
    settings = replace(small_fit, max_epochs=1, figure_interval=1, precision="64-true")
    fit(recording, tmp_path, model=small_config("mr_lfads"), training=settings)
    assert (tmp_path / "figures/training/epoch_00001_rasters.png").is_file()


@pytest.mark.parametrize("path", ["recording", "ragged"])
def test_rasters_show_the_trials_before_their_padding(path, small_fit, tmp_path, request):
    config = replace(small_config("lfads"), controller=ControllerConfig(4, 2, 3))
    fitted = fit(request.getfixturevalue(path), tmp_path, model=config, training=small_fit)
    with cc.open(request.getfixturevalue(path)) as file:
        recording = Recording(file, RecordingConfig())
        rows = recording.rows("valid")
        batch = Batch.of(recording.read(rows))
        with torch.no_grad():
            inferred = fitted.saved.model.eval().infer(batch)
        figure = rasters_figure(fitted.saved.model, recording, batch, inferred)
        lengths = [int(n) for n in file.lengths[rows][:3]]
        spikes = file.signals["spikes"][:][rows[0], : lengths[0]]
    columns = len(lengths)
    images = [panel.images[0].get_array() for panel in figure.axes[: 2 * columns]]
    assert [one.shape[1] for one in images] == lengths * 2
    np.testing.assert_array_equal(images[0], spikes.T)
    inputs = figure.axes[2 * columns].lines[1].get_ydata()
    np.testing.assert_array_equal(inputs, inferred.signals["inferred_inputs"][0, : lengths[0], 1])
    assert len(factors_figure(batch, inferred).axes[0].lines) == len(rows)
