"""Norms of messages between regions, and how inferred messages compare with the true ones."""

import numpy as np
import pytest

import ctd_contract as cc
from ctd_analysis.analyse import AnalysisConfig, analyse
from ctd_analysis.bootstrap import Bootstrap
from ctd_analysis.metrics import Ends, effectome, message_r2

NAMES = ("A", "B", "C")
NONE = Bootstrap(n_resamples=0)


def ends_of(pairs, size) -> Ends:
    source, target = np.repeat(np.asarray(pairs, np.int64), size, axis=0).T
    return Ends(source, target, NAMES)


PAIRS = [(b, a) for a in range(3) for b in range(3) if a != b]
ENDS = ends_of(PAIRS, 2)


def messages(random, scales, *, trials=20, bins=6) -> np.ndarray:
    return random.standard_normal((trials, bins, 12)) * np.repeat(scales, 2)


def values(estimates) -> dict[str, float]:
    return {definition.metric: estimate.value for definition, estimate in estimates}


def test_norms_are_root_mean_squares_of_each_connection_without_padding():
    random = np.random.default_rng(0)
    found = messages(random, np.arange(1.0, 7.0))
    valid = np.arange(6) < random.integers(1, 7, 20)[:, None]
    norms = values(effectome(found, ENDS, valid=valid, bootstrap=NONE))
    found[~valid] = np.nan
    for index, (source, target) in enumerate(PAIRS):
        own = found[..., 2 * index : 2 * index + 2]
        expected = np.sqrt(np.nanmean(np.square(own).sum(axis=2)))
        assert norms[f"message_norm {NAMES[source]}:{NAMES[target]}"] == pytest.approx(expected)


def test_the_cosine_is_of_the_norms_whatever_order_and_scale():
    random = np.random.default_rng(1)
    true = messages(random, np.array([1.0, 0.0, 2.0, 0.5, 0.0, 3.0]))
    order = random.permutation(12)
    other = Ends(ENDS.source[order], ENDS.target[order], NAMES)
    turned = {"true_communication": true, "true_ends": ENDS, "bootstrap": NONE}
    assert values(effectome(7.0 * true[..., order], other, **turned))["effectome_cosine"] == pytest.approx(1)
    swapped = Ends(ENDS.target, ENDS.source, NAMES)
    norms = {pair: np.sqrt(np.square(true[..., ENDS.of(pair)]).sum(2).mean()) for pair in PAIRS}
    n, back = np.array([(norms[a, b], norms[b, a]) for a, b in PAIRS]).T
    expected = n @ back / (n @ n)
    assert values(effectome(true, swapped, **turned))["effectome_cosine"] == pytest.approx(expected)


def test_messages_are_mapped_by_connection_alone():
    random = np.random.default_rng(2)
    train, test = (messages(random, np.ones(6), trials=200) for _ in range(2))
    mixing = np.linalg.qr(random.standard_normal((6, 2, 2)))[0]

    def mixed(found):
        apart = found.reshape(*found.shape[:2], 6, 2)
        return np.einsum("btcm,cmn->btcn", apart, mixing).reshape(found.shape) + 3

    r2 = {"ends": ENDS, "true_ends": ENDS, "bootstrap": NONE}
    assert values(message_r2(mixed(test), test, mixed(train), train, **r2))["message_r2"] == pytest.approx(1)
    # The same content under other connections' names is no help.
    shifted = [np.roll(found, 2, axis=2) for found in (test, train)]
    value = values(message_r2(shifted[0], test, shifted[1], train, **r2))["message_r2"]
    assert abs(value) < 0.02
    # A model that lacks connections explains what its others explain.
    few = Ends(ENDS.source[:6], ENDS.target[:6], NAMES)
    found = message_r2(test[..., :6], test, train[..., :6], train, **(r2 | {"ends": few}))
    assert values(found)["message_r2"] == pytest.approx(0.5, abs=0.03)


@pytest.fixture
def files(tmp_path):
    """A recording of two regions of 2 and 1 states with true messages, and two forms of a model of it."""
    random = np.random.default_rng(3)
    true = random.standard_normal((30, 5, 2, 3)).astype(np.float32)
    true[:, :, 1, :2] *= 0.5
    path = tmp_path / "recording.h5"
    header = {"trial": 30, "time": 5, "bin_width_s": 0.01, "producer": "test", "config": {}, "seed": 0}
    with cc.create(path, "recording", name="toy", axes={"neuron": 3, "region": 2}, **header) as writer:
        writer.names("region", ["A", "B"])
        writer.column("trials", "split", np.arange(30) % 3)
        writer.column("neurons", "held_out", np.zeros(3))
        writer.column("neurons", "region", [0, 0, 1])
        writer.signal("spikes", random.poisson(1.0, (30, 5, 3)))
        writer.truth("messages", true)
        writer.column("states", "region", [0, 0, 1])
    rates, states = np.ones((30, 5, 3)), np.zeros((30, 5, 3))
    both = {"rates": rates, "states": states}
    regions = {("states", "region"): np.array([0, 0, 1])}
    first, second = tmp_path / "messages.h5", tmp_path / "channels.h5"
    cc.write_inference(first, path, model="its own", messages=true, columns=regions, **both)
    channels = np.concatenate([2.0 * true[:, :, 0, 2:], 2.0 * true[:, :, 1, :2] + 1.0], axis=2)
    ends = {("messages", "from"): np.array([0, 1, 1]), ("messages", "to"): np.array([1, 0, 0])}
    columns = regions | ends
    cc.write_inference(second, path, model="channels", communication=channels, columns=columns, **both)
    return tmp_path


def test_files_with_messages_or_with_channels_are_scored(files):
    found = analyse(
        files / "recording.h5",
        [files / "messages.h5", files / "channels.h5"],
        AnalysisConfig(n_resamples=20),
    )
    for model in ("its own", "channels"):
        assert found.row(model, "message_r2").value == pytest.approx(1.0, abs=1e-6)
        row = found.row(model, "message_norm A:B")
        assert row.low < row.value < row.high
    assert found.row("its own", "effectome_cosine").value == pytest.approx(1.0)
    with cc.open(files / "recording.h5") as file:
        true = file.truth["messages"][:][file.split("test")].astype(np.float64)
    norms = {
        "message_norm A:B": np.sqrt(np.square(true[:, :, 0, 2:]).sum(2).mean()),
        "message_norm B:A": np.sqrt(np.square(true[:, :, 1, :2]).sum(2).mean()),
    }
    for name, norm in norms.items():
        assert found.row("its own", name).value == pytest.approx(norm)
    assert found.row("channels", "message_norm A:B").value == pytest.approx(2 * norms["message_norm A:B"])
    assert found.row("channels", "effectome_cosine").value < 0.999
