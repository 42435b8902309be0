"""Context-dependent integration: streams, biases, contexts, switches, the integral and success."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctd_tasks import ContextIntegration, Rollout
from ctd_tasks.tasks.context_integration import GRID, ContextDraws
from ctd_tasks.testing import context_integration_by_loop


@given(
    n_time=st.integers(4, 40),
    bin_width_s=st.floats(0.01, 1),
    noise_std=st.floats(0, 0.1),
    biases=st.sampled_from(["uniform", "normal", "grid"]),
    switch_probability=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_equals_the_loop_over_trials_given_the_same_draws(seed, **options):
    task = ContextIntegration(**options)
    draws = task.draws(np.random.default_rng(seed), 5)
    fast, slow = task.trials(draws), context_integration_by_loop(task, draws)
    for name in ("inputs", "inputs_clean", "targets", "mask"):
        np.testing.assert_allclose(getattr(fast, name), getattr(slow, name), atol=2e-6, err_msg=name)
        assert getattr(fast, name).dtype == np.float32


def test_written_out():
    task = ContextIntegration(n_time=4, bin_width_s=0.25, noise_std=0.5, switch_probability=1)
    noise = np.array([[[1, 0], [0, 2], [1, 1], [0, -1]]], np.float32)
    draws = ContextDraws(np.array([[0.5, -0.25]]), noise, np.array([1]), np.array([2]))
    trials = task.trials(draws)
    # The deviation of a bin is .5 / sqrt(.25) = 1; colour is cued first, motion from bin 2 on.
    assert trials.inputs[0].T.tolist() == [
        [1.5, 0.5, 1.5, 0.5],
        [-0.25, 1.75, 0.75, -1.25],
        [0, 0, 1, 1],
        [1, 1, 0, 0],
    ]
    assert trials.targets[0, :, 0].tolist() == [-0.25, 1.5, 3.0, 3.5]
    assert trials.inputs_clean[0, :, 0].tolist() == [0.5] * 4
    phases = {name: values.tolist() for name, values in trials.phases.items()}
    assert phases == {"scored": [[0, 4]], "motion": [[2, 4]], "color": [[0, 2]]}
    assert {name: values.item() for name, values in trials.columns.items()} == {
        "motion_bias": 0.5,
        "color_bias": -0.25,
        "context": 1,
        "switch_bin": 2,
    }
    assert task.condition_names[trials.condition[0]] == "color then motion"


def biases_of(trials):
    return np.stack([trials.columns["motion_bias"], trials.columns["color_bias"]], axis=1)


def test_streams_have_the_stated_moments():
    task = ContextIntegration()
    trials = task.generate(4000, seed=0, stream="train")
    noise = (trials.inputs - trials.inputs_clean)[:, :, :2]
    assert noise.std() == pytest.approx(0.125, rel=0.01)
    assert abs(np.mean(noise[..., 0] * noise[..., 1])) < 5 * 0.125**2 / np.sqrt(noise[..., 0].size)
    np.testing.assert_array_equal(trials.inputs[:, :, 2:], trials.inputs_clean[:, :, 2:])
    # Uniform in ±.01: mean 0, deviation .01 / sqrt(3).
    bias = biases_of(trials)
    assert np.abs(bias).max() <= 0.01
    assert abs(bias.mean()) < 5 * 0.01 / np.sqrt(3 * bias.size)
    assert bias.std() == pytest.approx(0.01 / np.sqrt(3), rel=0.03)
    assert np.bincount(trials.columns["context"]) == pytest.approx([2000, 2000], abs=160)


def test_published_biases_are_normal_around_a_negative_mean():
    bias = biases_of(ContextIntegration(biases="normal").generate(4000, seed=0, stream="train"))
    assert bias.mean() == pytest.approx(-0.01, abs=0.001)
    assert bias.std() == pytest.approx(0.02, rel=0.03)


def test_the_grid_has_every_pair_in_both_contexts_equally_often():
    task = ContextIntegration(biases="grid")
    trials = task.generate(720, seed=0, stream="simulation")
    counts = np.bincount(trials.condition, minlength=72)
    assert len(counts) == 72
    assert counts.min() >= 8
    assert counts.max() <= 12
    names = task.condition_names
    for row, (motion, color) in enumerate(biases_of(trials)):
        cued = ("motion", "color")[trials.columns["context"][row]]
        assert names[trials.condition[row]] == f"{cued}: motion {motion:+g}, color {color:+g}"
    assert {tuple(np.round(pair, 6)) for pair in biases_of(trials)} == {
        tuple(np.round(np.float32(pair), 6)) for pair in itertools.product(GRID, GRID)
    }


def test_switches_are_where_they_may_be_and_as_many_as_asked_for():
    task = ContextIntegration(switch_probability=0.25)
    trials = task.generate(4000, seed=0, stream="train")
    bins = trials.columns["switch_bin"]
    assert (bins >= 0).mean() == pytest.approx(0.25, abs=0.035)
    counts = np.bincount(bins[bins >= 0], minlength=task.n_time)
    assert np.flatnonzero(counts).tolist() == list(range(2, 24))
    assert counts[2:24].max() < 2 * counts[2:24].min() + 20
    assert ContextIntegration().generate(50, seed=0, stream="train").columns["switch_bin"].max() == -1


def test_phases_are_the_bins_of_the_context_lines():
    task = ContextIntegration(switch_probability=0.5)
    trials = task.generate(100, seed=2, stream="train")
    time = np.arange(task.n_time)
    for line, name in enumerate(("motion", "color")):
        start, stop = trials.phases[name].T
        inside = (time >= start[:, None]) & (time < stop[:, None])
        np.testing.assert_array_equal(inside, trials.inputs[:, :, 2 + line] == 1)


def test_the_simulation_set_may_have_its_own_biases_and_switches():
    task = ContextIntegration(simulation_biases="grid", simulation_switch_probability=1.0)
    train, simulated = (t.generate(72, seed=0, stream="train") for t in (task, task.for_simulation()))
    assert np.abs(biases_of(train)).max() <= 0.01
    assert train.columns["switch_bin"].max() == -1
    assert np.abs(biases_of(simulated)).min() > 0.008
    assert simulated.columns["switch_bin"].min() >= 2
    assert len(task.for_simulation().condition_names) == 144
    assert simulated.condition.min() >= 72


def test_success_is_a_distance_from_the_integral():
    task = ContextIntegration(n_time=4, tolerance=0.2)
    trials = task.generate(1, seed=0, stream="train")
    outputs = trials.targets + np.array([0.0, 0.19, -0.19, 0.21])[:, None]
    score = task.success(Rollout(None, None, None, outputs), trials)
    assert (score.right.tolist(), score.counted.tolist()) == ([3], [4])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_time": 0}, "n_time must be at least 1, got 0"),
        ({"n_time": 3, "switch_probability": 0.5}, "n_time must be at least 4 with switches, got 3"),
        ({"biases": "gaussian"}, "biases must be one of uniform, normal, grid, got 'gaussian'"),
        ({"simulation_biases": "gird"}, "simulation_biases must be one of uniform, normal, grid"),
        ({"switch_probability": -0.1}, r"switch_probability must lie in \[0, 1\]"),
        ({"noise_std": -1}, "noise_std"),
        ({"bin_width_s": 0}, "bin_width_s"),
        ({"tolerance": 0}, "tolerance must be positive"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ContextIntegration(**options)
