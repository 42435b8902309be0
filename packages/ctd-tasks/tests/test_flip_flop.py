"""The flip-flop: pulses, memory, mask, stimulation, loss and success."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctd_tasks import FlipFlop, Rollout
from ctd_tasks.tasks.flip_flop import FlipFlopDraws
from ctd_tasks.testing import flip_flop_by_loop

SIGNALS = ("inputs", "inputs_clean", "targets", "mask")


def rollout(outputs):
    return Rollout(initial_state=None, inputs=None, states=None, outputs=outputs)


@given(
    n_bits=st.integers(1, 4),
    n_time=st.integers(1, 40),
    switch_probability=st.floats(0, 0.5),
    transition_blind=st.integers(0, 8),
    quiet_bins=st.integers(0, 6),
    ignored_bins=st.integers(0, 8),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_equals_the_loop_over_trials_given_the_same_draws(seed, **options):
    task = FlipFlop(**options)
    draws = task.draws(np.random.default_rng(seed), 5)
    fast, slow = task.trials(draws), flip_flop_by_loop(task, draws)
    for name in SIGNALS:
        np.testing.assert_array_equal(getattr(fast, name), getattr(slow, name), err_msg=name)
        assert getattr(fast, name).dtype == np.float32


def one_bit(pulses, **options):
    """The trial of one bit with exactly these pulses and no noise."""
    uniform = np.select([np.array(pulses) > 0, np.array(pulses) < 0], [1.0, 0.0], 0.5)[None, :, None]
    task = FlipFlop(n_bits=1, n_time=len(pulses), **options)
    nothing = np.zeros(1)
    return task, task.trials(FlipFlopDraws(uniform, np.zeros_like(uniform), nothing.astype(int) - 1, nothing))


def test_targets_and_mask_written_out():
    #         0  1  2  3  4  5  6  7  8   9 10 11 12
    pulses = [1, 0, 0, 1, 0, 0, 1, 0, -1, 0, 0, 0, -1]
    _, trials = one_bit(pulses, transition_blind=2, quiet_bins=3, ignored_bins=2)
    # The first pulse falls in the quiet bins; those in bins 6 and 12 change nothing and open no window.
    assert trials.inputs_clean[0, :, 0].tolist() == [0, 0, 0, 1, 0, 0, 1, 0, -1, 0, 0, 0, -1]
    assert trials.targets[0, :, 0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert trials.mask[0, :, 0].tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1]


def test_pulses_come_as_often_as_asked_for_and_noise_is_white():
    task = FlipFlop(n_time=400, switch_probability=0.02, noise_std=0.3)
    trials = task.generate(500, seed=3, stream="train")
    open_bins = trials.inputs_clean[:, task.quiet_bins :]
    for sign in (1, -1):
        count, n = int((open_bins == sign).sum()), open_bins.size
        assert abs(count - 0.02 * n) < 5 * np.sqrt(0.02 * 0.98 * n)
    assert not trials.inputs_clean[:, : task.quiet_bins].any()
    noise = trials.inputs - trials.inputs_clean
    assert noise.std() == pytest.approx(0.3, rel=0.01)
    neighbours = np.mean(noise[:, 1:] * noise[:, :-1]) / noise.var()
    assert abs(neighbours) < 5 / np.sqrt(noise.size)


def test_loss_as_published_divides_by_all_elements_and_counted_by_unmasked_ones():
    task, trials = one_bit([0, 0, 0, 1, 0, 0, 0, 0], transition_blind=2, ignored_bins=1)
    outputs = np.full((1, 8, 1), 0.5, np.float32)
    # Bins 0, 4 and 5 are masked: five squared errors of 0.25.
    assert task.loss(rollout(outputs), trials)["error"] == pytest.approx(5 * 0.25 / 8)
    counted = FlipFlop(n_bits=1, n_time=8, average="counted")
    assert counted.loss(rollout(outputs), trials)["error"] == pytest.approx(0.25)


def test_loss_of_tensors_is_that_of_arrays():
    task = FlipFlop(n_time=30)
    trials = task.generate(4, seed=0, stream="train")
    outputs = np.random.default_rng(0).random(trials.targets.shape, dtype=np.float32)
    expected = task.loss(rollout(outputs), trials)["error"]
    terms = task.loss(rollout(torch.from_numpy(outputs)), trials.map(torch.from_numpy))
    assert float(terms["error"]) == pytest.approx(float(expected))


def test_masked_bins_never_change_the_loss():
    task = FlipFlop(n_time=60)
    trials = task.generate(4, seed=0, stream="train")
    outputs = np.random.default_rng(0).random(trials.targets.shape)
    other = np.where(trials.mask > 0, outputs, 100.0)
    assert task.loss(rollout(other), trials)["error"] == task.loss(rollout(outputs), trials)["error"]


def test_success_counts_bins_outside_transition_windows():
    task, trials = one_bit([0, 0, 0, 1, 0, 0, 0, 0], transition_blind=2, ignored_bins=1)
    # The window is bins 3 to 5, bin 0 is ignored: bins 1, 2, 6 and 7 count, of which the last is wrong.
    outputs = np.array([9, 0.4, 0.1, 0, 0, 0, 0.6, 0.5])[None, :, None]
    score = task.success(rollout(outputs), trials)
    assert (score.right.tolist(), score.counted.tolist()) == ([3], [4])
    assert score.success == 0.75
    np.testing.assert_array_equal(score.per_trial, [0.75])


class TestStimulation:
    task = FlipFlop(n_time=80, switch_probability=0.05, stimulation_probability=0.5)

    def test_adds_a_constant_to_one_bit_in_the_middle_half_and_nothing_else(self):
        draws = self.task.draws(np.random.default_rng(1), 200)
        trials, plain = self.task.trials(draws), FlipFlop(n_time=80, switch_probability=0.05).trials(draws)
        added = trials.inputs_clean - plain.inputs_clean
        expected = np.zeros_like(added)
        for row, bit in enumerate(draws.stimulated_bit):
            if bit >= 0:
                expected[row, 20:60, bit] = draws.stimulus[row]
        np.testing.assert_allclose(added, expected, atol=1e-6)
        np.testing.assert_allclose(trials.inputs - plain.inputs, expected, atol=1e-6)
        assert draws.stimulus[draws.stimulated_bit >= 0].min() >= 0.5
        assert draws.stimulus.max() <= 1.5

    def test_the_stimulated_bit_still_responds_to_its_pulses(self):
        draws = self.task.draws(np.random.default_rng(1), 200)
        trials, plain = self.task.trials(draws), FlipFlop(n_time=80, switch_probability=0.05).trials(draws)
        np.testing.assert_array_equal(trials.targets, plain.targets)
        np.testing.assert_array_equal(trials.mask, plain.mask)
        rows = np.flatnonzero(draws.stimulated_bit >= 0)
        during = trials.targets[rows, 20:60, draws.stimulated_bit[rows]]
        assert np.abs(np.diff(during, axis=1)).sum() > 20

    def test_is_labelled(self):
        trials = self.task.generate(300, seed=0, stream="train")
        stimulated = trials.columns["stimulated_bit"] >= 0
        assert 0.4 < stimulated.mean() < 0.6
        assert np.unique(trials.columns["stimulated_bit"]).tolist() == [-1, 0, 1, 2]
        assert set(map(tuple, trials.phases["stimulation"][stimulated])) == {(20, 60)}
        assert set(map(tuple, trials.phases["stimulation"][~stimulated])) == {(-1, -1)}
        np.testing.assert_array_equal(trials.condition, trials.columns["stimulated_bit"] + 1)
        assert len(self.task.condition_names) == 4

    def test_the_simulation_set_may_have_its_own_share(self):
        task = FlipFlop(n_time=20, simulation_stimulation_probability=1.0)
        assert not task.generate(5, seed=0, stream="train").phases
        assert (task.for_simulation().generate(5, seed=0, stream="simulation").condition > 0).all()


class TestSeeds:
    task = FlipFlop(n_time=20)

    def test_streams_of_a_seed_and_seeds_of_a_stream_differ(self):
        sets = [
            self.task.generate(4, seed=s, stream=k).inputs
            for s in (0, 1)
            for k in ("train", "valid", "simulation")
        ]
        for k, one in enumerate(sets):
            for other in sets[k + 1 :]:
                assert not np.any(one == other)

    def test_same_seed_gives_the_same_trials(self):
        one, other = (self.task.generate(4, seed=5, stream="train") for _ in range(2))
        for name in SIGNALS:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))

    def test_a_longer_set_begins_with_the_shorter_one(self):
        short, long = (self.task.generate(n, seed=0, stream="train") for n in (10, 600))
        np.testing.assert_array_equal(long.inputs[:10], short.inputs)
        np.testing.assert_array_equal(
            long.inputs[512:], self.task.block(2, seed=0, stream="train").inputs[:88]
        )
        assert len(long) == 600

    def test_changed_settings_change_the_trials(self):
        # A cache of trials once ignored all settings but the number of trials and bins.
        plain = self.task.generate(50, seed=0, stream="train")
        other = FlipFlop(n_time=20, switch_probability=0.2).generate(50, seed=0, stream="train")
        assert np.abs(other.inputs_clean).sum() > 3 * np.abs(plain.inputs_clean).sum()

    def test_global_generators_are_left_alone(self):
        state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
        self.task.generate(4, seed=0, stream="train")
        np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), torch_state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_bits": 0}, "n_bits must be at least 1, got 0"),
        ({"n_time": 0}, "n_time"),
        ({"transition_blind": -1}, "transition_blind"),
        ({"switch_probability": 0.6}, r"\[0, 0.5\], got 0.6"),
        ({"stimulation_probability": 2}, "stimulation_probability"),
        ({"noise_std": -1}, "noise_std"),
        ({"bin_width_s": 0}, "bin_width_s"),
        ({"average": "all"}, "published, counted"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FlipFlop(**options)


def test_a_set_of_no_trials_is_refused():
    with pytest.raises(ValueError, match="n_trials must be at least 1"):
        FlipFlop().generate(0, seed=0, stream="train")
