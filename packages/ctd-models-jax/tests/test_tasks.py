"""Trials drawn on the device: targets against loops over bins, shares and moments, reproducible streams."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from ctd_models_jax import tasks
from ctd_models_jax.tasks.config import BitMemoryConfig, ContextIntegrationConfig, SineGenerationConfig

KEY = jax.random.key(0)


def draw(task, n_trials=2000, key=KEY):
    return jax.tree.map(np.asarray, tasks.draw(task, key, n_trials))


@pytest.mark.parametrize("task", [BitMemoryConfig(), ContextIntegrationConfig(), SineGenerationConfig()])
def test_draws_are_pure_functions_of_the_key(task):
    compiled = jax.jit(lambda key: tasks.draw(task, key, 8))
    once, again, other = compiled(KEY), compiled(KEY), compiled(jax.random.key(1))
    np.testing.assert_array_equal(once.inputs, again.inputs)
    assert (once.inputs != other.inputs).any()
    assert once.inputs.shape == (8, task.n_time, len(task.input_names))
    assert once.targets.shape == (8, task.n_time, len(task.target_names))
    assert len(task.context_inputs) == len(task.input_names)


def test_bits_tell_the_last_pulse():
    task = BitMemoryConfig(n_bits=2, n_time=12, pulse_probability=0.4, noise_std=0.3)
    trials = draw(task)
    for clean, targets in zip(trials.inputs_clean[:20], trials.targets[:20], strict=True):
        state = [-1.0, -1.0]
        for bin_, lines in enumerate(clean.reshape(12, 2, 2)):
            state = [
                -1.0 if down else 1.0 if up else old for (down, up), old in zip(lines, state, strict=True)
            ]
            np.testing.assert_array_equal(targets[bin_], state)
    np.testing.assert_allclose(trials.inputs_clean.mean((0, 1)), 0.2, atol=0.01)
    np.testing.assert_allclose((trials.inputs - trials.inputs_clean).std(), 0.3, rtol=0.02)
    np.testing.assert_array_equal(trials.mask, np.arange(12) >= 5)


@pytest.mark.parametrize(
    ("biases", "mean", "std"), [("uniform", 0.0, 0.01 / 3**0.5), ("normal", -0.01, 0.02)]
)
def test_the_integral_is_that_of_the_cued_stream(biases, mean, std):
    trials = draw(ContextIntegrationConfig(biases=biases))
    cued = np.argmax(trials.inputs[:, 0, 2:], axis=-1)
    expected = np.cumsum(trials.inputs[np.arange(2000), :, cued], axis=1)
    np.testing.assert_allclose(trials.targets[..., 0], expected, atol=1e-5)
    assert abs(cued.mean() - 0.5) < 0.05
    bias = trials.inputs_clean[:, 0, :2]
    np.testing.assert_allclose([bias.mean(), bias.std()], [mean, std], atol=1e-3)
    noise = (trials.inputs - trials.inputs_clean)[..., :2]
    np.testing.assert_allclose(noise.std(), 0.025 / 0.04**0.5, rtol=0.01)
    assert (trials.inputs - trials.inputs_clean)[..., 2:].max() == 0


def test_the_integral_goes_on_over_a_switch_of_context():
    trials = draw(ContextIntegrationConfig(switch_probability=0.5, n_time=10))
    lines = trials.inputs[..., 2:]
    np.testing.assert_array_equal(lines.sum(-1), 1)
    switches = (lines[:, 1:, 0] != lines[:, :-1, 0]).sum(1)
    assert abs((switches == 1).mean() - 0.5) < 0.05
    assert switches.max() == 1
    first = 1 + np.argmax(lines[:, 1:, 0] != lines[:, :-1, 0], axis=1)[switches == 1]
    np.testing.assert_array_equal(np.unique(first), np.arange(2, 9))
    np.testing.assert_allclose(
        trials.targets[..., 0], np.cumsum((trials.inputs[..., :2] * lines).sum(-1), 1), atol=1e-5
    )


@pytest.mark.parametrize("n_frequencies", [4, None])
def test_sines_have_the_frequency_of_their_input(n_frequencies):
    task = SineGenerationConfig(n_frequencies=n_frequencies, lowest_hz=2.0, highest_hz=5.0)
    trials = draw(task)
    frequency = trials.inputs[:, 0, 0]
    start_s = 0.01 * np.arange(100)
    np.testing.assert_allclose(
        trials.targets[..., 0], np.sin(2 * np.pi * frequency[:, None] * start_s), atol=1e-4
    )
    assert len(np.unique(frequency)) == (4 if n_frequencies else 2000)
    np.testing.assert_allclose([frequency.min(), frequency.max()], [2, 5], atol=0.01)


@pytest.mark.parametrize("task", [BitMemoryConfig(), ContextIntegrationConfig(), SineGenerationConfig()])
def test_what_silent_inputs_have_led_to_lasts(task):
    trials = jax.tree.map(np.asarray, tasks.draw(task, KEY, 400, quiet_share=0.5))
    kept = np.asarray(task.context_inputs)
    silent_at_the_end = ~trials.inputs[:, -6:][..., ~kept].any((1, 2))
    if kept.all():
        np.testing.assert_array_equal(trials.inputs, trials.inputs_clean)
        return
    assert 0.3 < silent_at_the_end.mean() < 0.5
    assert (trials.targets[silent_at_the_end, -6:] == trials.targets[silent_at_the_end, -1:]).all()
    assert (trials.inputs[:, 0][:, ~kept] != 0).any(-1).mean() > 0.9
    np.testing.assert_array_equal(trials.inputs[..., kept].sum(-1), kept.any())
    given = trials.inputs if task.noise_is_evidence else trials.inputs_clean
    np.testing.assert_allclose(tasks.targets(task, given), trials.targets)


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        (BitMemoryConfig, {"ignored_bins": 25}, "ignored_bins must leave one of 25 bins"),
        (BitMemoryConfig, {"pulse_probability": 1.5}, r"pulse_probability must lie in \[0, 1\]"),
        (BitMemoryConfig, {"noise_std": -1.0}, "noise_std must not be negative"),
        (ContextIntegrationConfig, {"biases": "grid"}, "biases must be one of uniform, normal"),
        (ContextIntegrationConfig, {"switch_probability": 0.5, "n_time": 3}, "n_time must be at least 4"),
        (SineGenerationConfig, {"highest_hz": 60.0}, "below half a cycle"),
        (SineGenerationConfig, {"n_frequencies": 0}, "n_frequencies must be above 0"),
    ],
)
def test_a_wrong_setting_says_so(kind, settings, words):
    with pytest.raises(ValueError, match=words):
        kind(**settings)
