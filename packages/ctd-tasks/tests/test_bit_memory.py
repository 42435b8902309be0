"""The bit memory: one-hot pulses, their probability, memory, mask and success."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctd_tasks import BitMemory, Rollout
from ctd_tasks.tasks.bit_memory import BitMemoryDraws
from ctd_tasks.testing import bit_memory_by_loop


@given(
    n_bits=st.integers(1, 4),
    n_time=st.integers(6, 40),
    pulse_probability=st.floats(0, 1),
    noise_std=st.sampled_from([0.0, 0.2]),
    ignored_bins=st.integers(0, 5),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_equals_the_loop_over_trials_given_the_same_draws(seed, **options):
    task = BitMemory(**options)
    draws = task.draws(np.random.default_rng(seed), 5)
    fast, slow = task.trials(draws), bit_memory_by_loop(task, draws)
    for name in ("inputs", "inputs_clean", "targets", "mask"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(slow, name), err_msg=name)
        assert getattr(fast, name).dtype == np.float32


def one_bit(pulses, **options):
    """The trial of one bit with exactly these pulses."""
    uniform = np.select([np.array(pulses) > 0, np.array(pulses) < 0], [0.999, 0.0], 0.5)[None, :, None]
    task = BitMemory(n_bits=1, n_time=len(pulses), **options)
    return task, task.trials(BitMemoryDraws(uniform, np.zeros((1, len(pulses), 2), np.float32)))


def test_written_out():
    task, trials = one_bit([0, 0, 1, 0, 1, -1, 0, 1], ignored_bins=3)
    assert task.input_names == ("bit 0 down", "bit 0 up")
    assert trials.inputs_clean[0, :, 0].tolist() == [0, 0, 0, 0, 0, 1, 0, 0]
    assert trials.inputs_clean[0, :, 1].tolist() == [0, 0, 1, 0, 1, 0, 0, 1]
    assert trials.targets[0, :, 0].tolist() == [-1, -1, 1, 1, 1, -1, -1, 1]
    assert trials.mask[0, :, 0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    assert trials.phases["scored"].tolist() == [[3, 8]]


@pytest.mark.parametrize("probability", [0.0, 0.3, 2 / 3, 1.0])
def test_pulses_come_as_often_as_asked_for(probability):
    """The probability of the original was ignored: pulses came in two bins of three, whatever it said."""
    task = BitMemory(pulse_probability=probability)
    clean = task.generate(2000, seed=1, stream="train").inputs_clean
    pairs = clean.reshape(2000, task.n_time, 3, 2)
    assert pairs.sum(axis=-1).max() <= 1
    n = pairs[..., 0].size
    for line in (0, 1):
        expected = n * probability / 2
        assert abs(pairs[..., line].sum() - expected) <= 5 * np.sqrt(expected * (1 - probability / 2))


def test_published_settings_are_the_default():
    task = BitMemory()
    assert (len(task.input_names), len(task.target_names), task.n_time) == (6, 3, 25)
    trials = task.generate(300, seed=0, stream="train")
    np.testing.assert_array_equal(trials.inputs, trials.inputs_clean)
    assert trials.mask[:, :5].max() == 0
    assert trials.mask[:, 5:].min() == 1


def test_success_is_the_sign_in_scored_bins():
    task, trials = one_bit([0, 1, 0, 0, -1, 0], ignored_bins=2)
    outputs = np.array([9.0, -9, 0.1, -0.2, -3, 4])[None, :, None]
    score = task.success(Rollout(None, None, None, outputs), trials)
    # Bins 2 to 5 count: right, wrong, right, wrong.
    assert (score.right.tolist(), score.counted.tolist()) == ([2], [4])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_bits": 0}, "n_bits must be at least 1, got 0"),
        ({"pulse_probability": 1.1}, r"pulse_probability must lie in \[0, 1\], got 1.1"),
        ({"noise_std": -1}, "noise_std"),
        ({"bin_width_s": 0}, "bin_width_s must be positive"),
        ({"ignored_bins": 25}, "ignored_bins must leave one of 25 bins, got 25"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BitMemory(**options)
