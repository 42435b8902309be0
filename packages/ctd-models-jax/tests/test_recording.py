"""What a recording is read as, and recordings that nothing can be fitted to."""

from __future__ import annotations

import numpy as np
import pytest

import ctd_contract as cc
from ctd_models_jax import recording, sessions
from ctd_models_jax.cli import COMMAND

TRIALS, TIME, NEURONS = 10, 6, 4


def write(path, *, kind="activity", spoilt=None, n_valid=2, observed=None):
    """A recording of activity or spikes, in which one value of a signal may be none."""
    rng = np.random.default_rng(0)
    signals = {
        kind: rng.poisson(2, (TRIALS, TIME, NEURONS)).astype(np.uint8 if kind == "spikes" else np.float32),
        "inputs": rng.normal(size=(TRIALS, TIME, 1)).astype(np.float32),
    }
    if spoilt:
        signals[spoilt][3, 2, 0] = np.nan
    split = np.repeat(np.array([0, 1, 2], np.uint8), [TRIALS - n_valid - 1, n_valid, 1])
    axes = {"neuron": NEURONS, "input": 1}
    with cc.create(
        path, "recording", name="toy", producer="test 1", trial=TRIALS, time=TIME, bin_width_s=0.01, axes=axes
    ) as file:
        file.column("trials", "split", split)
        file.column("neurons", "held_out", np.zeros(NEURONS, np.uint8))
        for name, values in signals.items():
            file.signal(name, values, unit="count" if name == "spikes" else "1")
        if observed is not None:
            file.signal("observed", observed, unit="1")
    return path


@pytest.mark.parametrize("spoilt", ["activity", "inputs"])
def test_what_is_no_number_is_refused_where_it_stands(tmp_path, spoilt):
    path = write(tmp_path / "recording.h5", spoilt=spoilt)
    with pytest.raises(ValueError, match=rf"{spoilt} must be finite, got nan at .* channel \(3, 2, 0\)"):
        recording.load(path, ["inputs"])


def test_what_was_not_observed_counts_for_nothing_whatever_it_is(tmp_path):
    observed = np.ones((TRIALS, TIME, NEURONS), np.uint8)
    observed[3, 2, 0] = 0
    path = write(tmp_path / "recording.h5", spoilt="activity", observed=observed)
    trials = recording.load(path, ["inputs"]).trials
    assert trials.values[3, 2, 0] == trials.scored[3, 2, 0] == 0
    assert trials.scored.sum() == observed.sum()


@pytest.mark.parametrize("model", ["gru", "mrsds", "lfads_jslds"])
def test_a_fit_needs_trials_to_choose_by(tmp_path, capsys, model):
    path = write(tmp_path / "recording.h5", kind="spikes", n_valid=0)
    out = tmp_path / "out"
    assert COMMAND.invoke([f"model={model}", f"data={path}", f"out={out}"]) == 2
    assert "a fit needs valid trials, got 9 train, 0 valid, 1 test" in capsys.readouterr().err
    assert not (out / "checkpoints").exists()


def test_long_lists_are_told_from_where_they_differ():
    one, other = {"ids": tuple(range(300))}, {"ids": (*range(200), *range(201, 300))}
    assert sessions.different(one, other) == (
        *("ids", "200, 201, 202, 203, 204, 205 from place 200 of 300"),
        "201, 202, 203, 204, 205, 206 from place 200 of 299",
    )
    assert sessions.different(one, {"ids": tuple(range(299))}) == (
        *("ids", "299 from place 299 of 300", "nothing from place 299 of 299"),
    )
    assert sessions.different({"ids": (1, 2)}, {"ids": (1, 3)}) == ("ids", (1, 2), (1, 3))
