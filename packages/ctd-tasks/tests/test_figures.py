"""Figures of trials and state space, after and during training."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib import image, pyplot
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ctd_contract.torch.training.figures import TrainingFigures
from ctd_tasks.figures import draw_validation, save_figures, state_space_figure, trials_figure
from ctd_tasks.networks import NoisyGRUConfig, build
from ctd_tasks.simulation import simulate
from ctd_tasks.training import train


@pytest.fixture
def simulated(task):
    return next(simulate(build(NoisyGRUConfig(units=8), 1, 1, seed=0), task, 10, seed=0))


def test_trials_show_targets_outputs_and_inputs(simulated, task):
    trials, rollout = simulated
    panels = trials_figure(trials, rollout, task, n_trials=2).axes
    assert len(panels) == 4
    lines = panels[2].lines
    np.testing.assert_array_equal(lines[0].get_ydata(), trials.targets[0, :, 0])
    np.testing.assert_array_equal(lines[1].get_ydata(), rollout.outputs[0, :, 0])
    np.testing.assert_array_equal(panels[1].lines[0].get_ydata(), rollout.inputs[1, :, 0])


def test_state_space_keeps_the_distances_of_a_three_dimensional_cloud(simulated):
    _, rollout = simulated
    points = np.random.default_rng(0).normal(size=(10, 20, 3)) * [3, 2, 1]
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))
    figure = state_space_figure(replace(rollout, states=points @ turn[:3]))
    drawn = np.array([line.get_data_3d() for line in figure.axes[0].lines]).transpose(0, 2, 1)
    expected = np.linalg.norm(points[0, 0] - points[5, 7])
    assert np.linalg.norm(drawn[0, 0] - drawn[5, 7]) == pytest.approx(expected)
    variances = drawn.reshape(-1, 3).var(axis=0)
    assert (np.diff(variances) < 0).all()


def test_a_state_of_two_dimensions_is_drawn_too(simulated):
    _, rollout = simulated
    state_space_figure(replace(rollout, states=rollout.states[..., :2]))


def test_figures_are_saved_and_none_stays_open(simulated, task, tmp_path):
    save_figures(tmp_path / "figures", *simulated, task=task)
    for name in ("trials", "state_space"):
        pixels = image.imread(tmp_path / "figures" / f"{name}.png")
        assert pixels[..., :3].std() > 0.02
    assert pyplot.get_fignums() == []


def test_figures_are_drawn_during_training_to_folder_and_tensorboard(task, training, tmp_path):
    network = build(NoisyGRUConfig(units=8), 1, 1, seed=0)
    config = replace(training, max_epochs=4, tensorboard=True)
    figures = TrainingFigures(tmp_path / "figures", 2, draw_validation)
    train(network, task, folder=tmp_path, config=config, callbacks=[figures])
    names = sorted(path.name for path in (tmp_path / "figures" / "training").iterdir())
    assert names == [f"epoch_{e:05d}_{n}.png" for e in (2, 4) for n in ("state_space", "trials")]
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    assert [event.step for event in events.Images("state_space")] == [2, 4]
    assert "valid/success" in events.Tags()["scalars"]
    assert pyplot.get_fignums() == []
