"""Modes, messages, forecasts and activity of several regions against sums written out."""

import numpy as np
import pytest

import ctd_contract as cc
from ctd_analysis.analyse import AnalysisConfig, analyse
from ctd_analysis.bootstrap import Bootstrap
from ctd_analysis.metrics import (
    Ends,
    activity_r2,
    block_of,
    co_bps,
    forecast_r2,
    message_cosine,
    mode_accuracy,
)

NONE = Bootstrap(n_resamples=0)
NAMES = ("A", "B")
SIZES = (2, 3)
REGION = np.repeat([0, 1], SIZES)


def values(estimates) -> dict[str, float]:
    return {f"{d.metric}/{d.name}": estimate.value for d, estimate in estimates}


def one_hot(modes, n_modes):
    return 0.7 * np.eye(n_modes)[modes] + 0.3 / n_modes


def accuracy(*arguments, **options) -> float:
    return values(mode_accuracy(*arguments, bootstrap=NONE, **options))["mode_accuracy/assigned-valid-1"]


def test_modes_are_matched_by_the_best_assignment_and_counted():
    random = np.random.default_rng(0)
    true, other = random.integers(0, 3, (2, 20, 10))
    renamed = np.array([2, 0, 1])
    found = renamed[true]
    wrong = random.random(found.shape) < 0.25
    found[wrong] = renamed[(true[wrong] + 1) % 3]
    expected = 1 - wrong.mean()
    assert accuracy(one_hot(found, 3), true, one_hot(renamed[other], 3), other) == pytest.approx(expected)
    # A fourth mode of the model matches nothing.
    split = np.where((true == 0) & (np.arange(10) < 3), 3, found)
    kept = (~wrong & (split != 3)).mean()
    matched = one_hot(renamed[other], 4)
    assert accuracy(one_hot(split, 4), true, matched, other) == pytest.approx(kept)
    # One mode of the model finds the commonest true one.
    common = np.where(random.random(other.shape) < 0.5, 1, other)
    share = (true == 1).mean()
    assert accuracy(np.ones((20, 10, 1)), true, np.ones((20, 10, 1)), common) == pytest.approx(share)


def test_modes_are_matched_on_valid_trials_without_padding():
    true, swapped = np.zeros((4, 6), int), np.ones((4, 6), int)
    known = np.tile([0, 1], (4, 3))
    # On the scored trials alone the other match would be perfect.
    assert accuracy(one_hot(swapped, 2), true, one_hot(known, 2), known) == 0.0
    half = np.arange(6) < 3
    mixed = np.where(half, 0, 1) * np.ones((4, 1), int)
    valid = np.broadcast_to(half, (4, 6))
    assert accuracy(one_hot(mixed, 2), true, one_hot(known, 2), known, valid=valid) == 1.0


def true_messages(random, trials=40, bins=8):
    """States of two regions and what they tell each other: from A to B (3 channels), from B to A (2)."""
    states = random.standard_normal((trials, bins, 5))
    to_b = np.tanh(states[..., :2] @ random.standard_normal((2, 3)))
    to_a = states[..., 2:] @ random.standard_normal((3, 2))
    return states, np.concatenate([to_b, to_a], axis=2)


ENDS = Ends(np.array([0, 0, 0, 1, 1]), np.array([1, 1, 1, 0, 0]), NAMES)


def cosines(scored, train, ends=ENDS, form="state-mapped-1", **options) -> dict[str, float]:
    known = {"ends": {"communication": ends, "true_communication": ENDS}}
    known["regions"] = {"states": REGION, "true_states": REGION}
    blocks = (block_of(**known, **part, **options) for part in (scored, train))
    found = values(message_cosine(*blocks, bootstrap=NONE))
    names = {name: name.split("/") for name in found}
    chosen = {n: metric for n, (metric, definition) in names.items() if definition == form}
    return {metric.removeprefix("message_cosine").strip(): found[n] for n, metric in chosen.items()}


def part(states, true, messages, mix=None, shift=0.0):
    mix = np.eye(5) if mix is None else mix
    signals = {"states": states @ mix.T + shift, "communication": messages}
    return {**signals, "true_states": states, "true_communication": true}


def test_messages_in_another_space_of_the_states_are_the_true_ones():
    random = np.random.default_rng(0)
    states, true = true_messages(random)
    mix = np.zeros((5, 5))
    mix[:2, :2], mix[2:, 2:] = random.standard_normal((2, 2)), random.standard_normal((3, 3))
    inverse = np.concatenate([true[..., :3] @ mix[2:, 2:].T, true[..., 3:] @ mix[:2, :2].T], axis=2)
    whole = part(states, true, inverse + 3.0, mix, shift=5.0)
    assert cosines(whole, whole) == pytest.approx({"": 1.0, "A": 1.0, "B": 1.0})
    # Written in the truth's own space they aren't the model's messages.
    assert cosines(part(states, true, true, mix), whole)["A"] < 0.95
    opposite = part(states, true, inverse * np.repeat([-1.0, 2.0], [3, 2]), mix)
    assert cosines(opposite, whole) == pytest.approx({"": 0.0, "A": -1.0, "B": 1.0}, abs=1e-12)


def test_the_cosine_is_its_sum_over_all_channels_and_bins_less_their_means():
    random = np.random.default_rng(1)
    states, true = true_messages(random)
    found = true + random.standard_normal(true.shape) * [2, 1, 1, 0.5, 0.5] + 4.0
    valid = np.arange(8) < random.integers(2, 9, 40)[:, None]
    both = [array - array[valid].mean(axis=0) for array in (found, true)]
    expected = []
    for channels in (slice(0, 3), slice(3, 5)):
        x, y = (array[valid][:, channels] for array in both)
        expected.append((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))
    found[~valid] = np.nan
    got = cosines(part(states, true, found), part(states, true, true), valid=valid)
    assert got == pytest.approx({"": np.mean(expected), "A": expected[0], "B": expected[1]})


def test_projected_messages_are_those_that_a_smaller_model_can_send():
    """A model without the true states' third dimension of B, nor the messages to it."""
    random = np.random.default_rng(3)
    states, true = true_messages(random)
    true[..., 2] *= 5
    region = np.array([0, 0, 1, 1])
    ends = Ends(ENDS.source[[0, 1, 3, 4]], ENDS.target[[0, 1, 3, 4]], NAMES)
    known = {"ends": {"communication": ends, "true_communication": ENDS}}
    known["regions"] = {"states": region, "true_states": REGION}
    signals = {"states": states[..., :4], "true_states": states, "true_communication": true}
    # The dropped dimension is independent of the others: nothing of it is in the map.
    signals["states"] = signals["states"] - signals["states"].mean(axis=(0, 1))
    block = block_of(**known, **signals, communication=true[..., [0, 1, 3, 4]])
    found = values(message_cosine(block, block, bootstrap=NONE))
    assert found["message_cosine A/state-mapped-1"] < 0.6
    assert found["message_cosine A/projected-1"] > 0.97
    assert found["message_cosine B/projected-1"] == pytest.approx(1.0)
    whole = part(states, true, true)
    assert cosines(whole, whole, form="projected-1") == pytest.approx({"": 1.0, "A": 1.0, "B": 1.0})


def test_a_region_that_says_nothing_or_in_another_space_has_no_number():
    random = np.random.default_rng(2)
    states, true = true_messages(random)
    train = part(states, true, true)
    known = {"ends": {"communication": ENDS, "true_communication": ENDS}}
    found = message_cosine(block_of(**known, **train), block_of(**known, **train), bootstrap=NONE)
    assert "have no regions" in found[0][1].reason
    ends = Ends(ENDS.source[1:], ENDS.target[1:], NAMES)
    known = {"ends": {"communication": ends, "true_communication": ENDS}}
    known["regions"] = {"states": REGION, "true_states": REGION}
    narrow = block_of(**known, **part(states, true, true[..., 1:]))
    found = message_cosine(narrow, block_of(**known, **train), bootstrap=NONE)
    assert "space of its states" in found[0][1].reason


def test_forecasts_are_scored_where_they_can_be_made():
    random = np.random.default_rng(0)
    true = random.random((10, 12, 3)) * 40
    spikes = random.poisson(true * 0.01)
    forecast = true + 5 * random.standard_normal(true.shape)
    forecast[:, :4] = -99.0
    lengths = random.integers(5, 13, 10)
    valid = np.arange(12) < lengths[:, None]
    found = values(
        forecast_r2(
            forecast, bins=4, true_rates=true, spikes=spikes, bin_width_s=0.01, valid=valid, bootstrap=NONE
        )
    )
    there = valid & (np.arange(12) >= 4)
    for name, target in (("truth-1", true), ("observed-1", spikes / 0.01)):
        y, f = target[there], forecast[there]
        expected = 1 - ((y - f) ** 2).sum() / ((y - y.mean(axis=0)) ** 2).sum()
        assert found[f"forecast_r2 4/{name}"] == pytest.approx(expected)


def test_activity_is_scored_without_noise_and_on_held_out_neurons():
    random = np.random.default_rng(0)
    true = random.standard_normal((10, 6, 4))
    activity = true + random.standard_normal(true.shape)
    prediction = 0.5 * true
    held_out = np.array([False, False, True, True])
    found = values(activity_r2(activity, prediction, true_activity=true, held_out=held_out, bootstrap=NONE))
    deviation = true - true.mean(axis=(0, 1))
    assert found["activity_r2/variance-weighted-1"] == pytest.approx(
        1 - ((true - prediction) ** 2).sum() / (deviation**2).sum()
    )
    y, m = activity[..., 2:], prediction[..., 2:]
    expected = 1 - ((y - m) ** 2).sum() / ((y - y.mean(axis=(0, 1))) ** 2).sum()
    assert found["co_r2/observed-1"] == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["spikes", "activity"])
def test_files_are_scored_by_all_of_them(kind, tmp_path):
    random = np.random.default_rng(0)
    states, _ = true_messages(random, trials=30)
    messages = np.zeros((30, 8, 2, 5))
    messages[..., 0, :], messages[..., 1, :] = states, np.roll(states, 1, axis=2)
    mode = random.integers(0, 2, (30, 8))
    means = 2 + random.random((30, 8, 3))
    header = {"trial": 30, "time": 8, "bin_width_s": 0.01, "producer": "test", "config": {}, "seed": 0}
    path = tmp_path / "recording.h5"
    with cc.create(path, "recording", name="toy", axes={"neuron": 3, "region": 2}, **header) as writer:
        writer.names("region", list(NAMES))
        writer.column("trials", "split", np.arange(30) % 3)
        writer.column("neurons", "held_out", [0, 1, 1])
        writer.column("neurons", "region", [0, 0, 1])
        if kind == "spikes":
            writer.signal("spikes", counts := random.poisson(means))
            writer.truth("rates", means / 0.01)
        else:
            writer.signal("activity", means + random.standard_normal(means.shape), unit="1")
            writer.truth("activity_prediction", means, unit="1")
        writer.truth("states", states)
        writer.truth("messages", messages)
        writer.truth("mode", mode)
        writer.column("states", "region", REGION)
    name, unit = ("rates", {}) if kind == "spikes" else ("activity_prediction", {"forecast_2": "1"})
    told = means / 0.01 if kind == "spikes" else means
    predicted = {name: told, "forecast_2": told}
    columns = {("states", "region"): REGION}
    units = unit or {"forecast_2": "spikes/s"}
    signals = {"states": states, "messages": messages, "mode_probability": one_hot(1 - mode, 2), **predicted}
    cc.write_inference(tmp_path / "a.h5", path, model="exact", columns=columns, units=units, **signals)
    cc.write_inference(tmp_path / "b.h5", path, model="poor", **{name: told})
    result = analyse(path, [tmp_path / "a.h5", tmp_path / "b.h5"], AnalysisConfig(n_resamples=20))
    for metric in (
        "mode_accuracy",
        "message_cosine",
        "message_cosine A",
        "message_cosine B",
        "forecast_r2 2",
    ):
        row = result.row("exact", metric)
        assert row.value == pytest.approx(1.0, abs=1e-5)
        assert row.low is not None
    if kind == "activity":
        assert result.row("exact", "activity_r2").value == pytest.approx(1.0)
        assert result.row("exact", "co_r2").value < 0.5
    else:
        tested = np.arange(30) % 3 == 2
        for region, neuron in enumerate([1, 2]):
            alone = {"held_out": np.arange(3) == neuron, "bin_width_s": 0.01, "bootstrap": NONE}
            expected = values(co_bps(counts[tested], told[tested], **alone))["co_bps/poisson-1"]
            assert result.row("exact", f"co_bps {NAMES[region]}").value == pytest.approx(expected, rel=1e-5)
    reasons = {left.metric: left.reason for left in result.left_out if left.model == "poor"}
    assert reasons["mode_accuracy"] == "the model has no modes"
    assert reasons["message_cosine"] == "the model gives no states"
