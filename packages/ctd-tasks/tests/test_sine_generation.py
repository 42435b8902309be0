"""Sine generation: frequency, phase and success."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctd_tasks import Rollout, SineGeneration
from ctd_tasks.tasks.sine_generation import SineDraws
from ctd_tasks.testing import sine_generation_by_loop


@given(
    n_time=st.integers(1, 60),
    n_frequencies=st.none() | st.integers(1, 9),
    noise_std=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_equals_the_loop_over_trials_given_the_same_draws(seed, **options):
    task = SineGeneration(**options)
    draws = task.draws(np.random.default_rng(seed), 5)
    fast, slow = task.trials(draws), sine_generation_by_loop(task, draws)
    for name in ("inputs", "inputs_clean", "targets", "mask"):
        np.testing.assert_allclose(getattr(fast, name), getattr(slow, name), atol=1e-6, err_msg=name)
        assert getattr(fast, name).dtype == np.float32


def test_written_out():
    task = SineGeneration(n_time=5, bin_width_s=0.125, lowest_hz=1, highest_hz=3, n_frequencies=3)
    trials = task.trials(SineDraws(np.array([0.0, 0.5, 0.99]), np.zeros((3, 5, 1), np.float32)))
    half = np.sqrt(0.5)
    expected = [[0, half, 1, half, 0], [0, 1, 0, -1, 0], [0, half, -1, half, 0]]
    np.testing.assert_allclose(trials.targets[:, :, 0], expected, atol=1e-6)
    assert trials.inputs[:, :, 0].tolist() == [[1] * 5, [2] * 5, [3] * 5]
    assert trials.columns["frequency_hz"].tolist() == [1, 2, 3]
    assert [task.condition_names[k] for k in trials.condition] == ["1.000 Hz", "2.000 Hz", "3.000 Hz"]


def test_the_spectrum_peaks_at_the_input():
    task = SineGeneration(n_time=400, n_frequencies=7)
    trials = task.generate(50, seed=0, stream="train")
    power = np.abs(np.fft.rfft(trials.targets[:, :, 0])) ** 2
    peak = np.fft.rfftfreq(400, 0.01)[power.argmax(axis=1)]
    np.testing.assert_allclose(peak, trials.columns["frequency_hz"], atol=0.13)
    assert len(np.unique(trials.condition)) == 7


def test_without_a_number_frequencies_fill_the_range():
    task = SineGeneration(n_frequencies=None)
    trials = task.generate(2000, seed=0, stream="train")
    frequency = np.sort(trials.columns["frequency_hz"])
    # Kolmogorov-Smirnov distance from the uniform distribution.
    uniform = 1 + 3 * np.arange(2000) / 2000
    assert np.abs(frequency - uniform).max() < 3 * 2 / np.sqrt(2000)
    assert trials.condition is None
    assert task.condition_names == ()


def test_success_is_a_distance_from_the_sine():
    task = SineGeneration(n_time=4, tolerance=0.2)
    trials = task.generate(1, seed=0, stream="train")
    outputs = trials.targets + np.array([0.0, 0.19, -0.19, 0.21])[:, None]
    score = task.success(Rollout(None, None, None, outputs), trials)
    assert (score.right.tolist(), score.counted.tolist()) == ([3], [4])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lowest_hz": 0}, "lowest_hz must be positive, got 0"),
        ({"lowest_hz": 5}, r"highest_hz must be at least lowest_hz \(5\)"),
        ({"highest_hz": 50}, r"below half a cycle per bin \(50 Hz\), got 50"),
        ({"n_frequencies": 0}, "n_frequencies must be at least 1, got 0"),
        ({"noise_std": -1}, "noise_std"),
        ({"tolerance": 0}, "tolerance"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SineGeneration(**options)
