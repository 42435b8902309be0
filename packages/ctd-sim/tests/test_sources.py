"""Trimming and splitting leave every trial saying the same about fewer bins."""

import numpy as np
import pytest

import ctd_contract as cc
from ctd_sim import ObservationConfig, redraw_splits, simulate, task_source, trim
from ctd_sim.sources.trim import trim_phase


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        ([0, 10], [0, 5]),  # runs over both ends
        ([5, 8], [2, 5]),
        ([2, 4], [0, 1]),
        ([6, 12], [3, 5]),
        ([0, 3], [-1, -1]),  # before
        ([8, 12], [-1, -1]),  # after
        ([-1, -1], [-1, -1]),
        ([4, 4], [1, 1]),  # a moment
        ([2, 2], [-1, -1]),
        ([8, 8], [-1, -1]),
    ],
)
def test_phases_are_cut_at_the_ends(phase, expected):
    assert trim_phase(np.array([phase], np.int32), 3, 8).tolist() == [expected]


@pytest.mark.parametrize(("start", "stop", "first", "last"), [(4, -1, 4, 29), (5, 12, 5, 12), (0, 14, 0, 14)])
def test_trimmed_trials_keep_their_times_states_and_moments(task, start, stop, first, last):
    with cc.open(task) as file:
        whole = task_source(file)
        cut = trim(whole, start, stop)
        rows = slice(2, 9)
        assert np.array_equal(cut.time, whole.time[first:last])
        assert np.array_equal(cut.lengths, np.minimum(whole.lengths, last) - first)
        assert np.array_equal(cut.valid_bins(rows), whole.valid_bins(rows)[:, first:last])
        for name in ("states", "inputs"):
            assert np.array_equal(cut.read(name, rows), whole.read(name, rows)[:, first:last])
        before = whole.read("states", rows)[:, first - 1] if first else whole.read("initial_state", rows)
        assert np.array_equal(cut.read("initial_state", rows), before)
        go, shifted = whole.phases["go"][5], cut.phases["go"][5]
        if first <= go[0] < last:
            assert cut.time[shifted[0]] == whole.time[go[0]]


def test_a_trimmed_recording_is_valid_and_equals_the_trimmed_truth(task, tmp_path):
    for name, bounds in (("whole", (0, None)), ("cut", (4, 20))):
        with cc.open(task) as file:
            source = trim(task_source(file), *bounds)
            settings = ObservationConfig(held_in=5, held_out=2, standardise="none")
            simulate(source, tmp_path / f"{name}.h5", settings, seed=0, producer="tests")
    with cc.open(tmp_path / "whole.h5") as whole, cc.open(tmp_path / "cut.h5") as cut:
        assert np.array_equal(cut.truth["rates"][:], whole.truth["rates"][:, 4:20])
        assert np.array_equal(cut.time, whole.time[4:20])
        state, following = cut.truth["initial_state"][:], cut.truth["states"][:, 0]
        step = cut.truth_dynamics().step(state, cut.signals["inputs"][:, 0])
        assert np.abs(step - following).max() < 0.1  # the process noise alone


@pytest.mark.parametrize(("start", "stop"), [(30, None), (10, 10), (12, 3)])
def test_trimming_everything_away_is_refused(task, start, stop):
    with cc.open(task) as file, pytest.raises(ValueError, match="leaves none"):
        trim(task_source(file), start, stop)


def test_trimming_whole_trials_away_is_refused(task):
    with cc.open(task) as file, pytest.raises(ValueError, match="without a bin"):
        trim(task_source(file), 20)


def test_splits_are_redrawn_by_the_seed(task):
    with cc.open(task) as file:
        source = task_source(file)
        splits = [redraw_splits(source, [0.5, 0.25, 0.25], seed=seed).split for seed in (0, 0, 1)]
    assert np.array_equal(splits[0], splits[1])
    assert not np.array_equal(splits[0], splits[2])
    for split in splits:
        assert np.bincount(split).tolist() == [12, 6, 6]


@pytest.mark.parametrize("fractions", [[0.5, 0.5], [0.9, 0.2, 0.1], [1.2, -0.1, -0.1]])
def test_fractions_that_do_not_add_up_are_refused(task, fractions):
    with cc.open(task) as file, pytest.raises(ValueError, match="add up to 1"):
        redraw_splits(task_source(file), fractions, seed=0)


def test_other_kinds_of_file_are_refused(task, tmp_path):
    with cc.open(task) as file:
        simulate(task_source(file), tmp_path / "r.h5", ObservationConfig(held_in=2), seed=0, producer="tests")
    with cc.open(tmp_path / "r.h5") as file, pytest.raises(ValueError, match="has the kind recording"):
        task_source(file)


def test_a_task_without_states_is_refused(tmp_path):
    with cc.create(
        tmp_path / "t.h5", "task", name="t", producer="tests", trial=2, time=3, bin_width_s=0.01
    ) as writer:
        writer.column("trials", "split", np.zeros(2, np.uint8))
        writer.signal("targets", np.zeros((2, 3, 1), np.float32))
    with cc.open(tmp_path / "t.h5") as file, pytest.raises(ValueError, match="no states"):
        task_source(file)
