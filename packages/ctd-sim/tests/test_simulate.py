"""Recordings against a slow, obvious simulation, and against what must not matter."""

from dataclasses import replace

import numpy as np
import pytest

import ctd_contract as cc
from ctd_sim import (
    ConstantTargetConfig,
    LinearConfig,
    ListedTargetConfig,
    LognormalTargetConfig,
    ObservationConfig,
    SmoothConfig,
    simulate,
    task_source,
    trim,
)


def record(task, path, config=None, *, seed=0, trimmed=(0, None), **options):
    with cc.open(task) as file:
        return simulate(
            trim(task_source(file), *trimmed),
            path,
            config or ObservationConfig(held_in=5, held_out=2),
            seed=seed,
            producer="tests",
            **options,
        )


def slow_rates(states, lengths, embed, *, standardise, factor, gain_hz, phi):
    """Rates one trial and one bin at a time: the pipeline as its definition reads."""
    counted = [embed(states[i, k]) for i in range(len(states)) for k in range(lengths[i])]
    mean = np.mean(counted, axis=None if standardise == "global" else 0)
    std = np.std(counted, axis=None if standardise == "global" else 0)
    rates = np.zeros((*states.shape[:2], len(counted[0])))
    for i in range(len(states)):
        for k in range(lengths[i]):
            rates[i, k] = gain_hz * phi((embed(states[i, k]) - mean) / (factor * std))
    return rates


PHI = {"exp": np.exp, "softplus": lambda x: np.log1p(np.exp(x)), "sigmoid": lambda x: 1 / (1 + np.exp(-x))}


@pytest.mark.parametrize("standardise", ["global", "neuron"])
@pytest.mark.parametrize("phi", PHI)
def test_linear_pipeline_equals_the_slow_one(task, tmp_path, standardise, phi):
    config = ObservationConfig(
        held_in=5, held_out=2, embedding=LinearConfig(), standardise=standardise, nonlinearity=phi, factor=1.5
    )
    weight = record(task, tmp_path / "r.h5", config).embedding.weight
    with cc.open(tmp_path / "r.h5") as file:
        slow = slow_rates(
            file.truth["states"][:],
            file.lengths,
            lambda s: weight @ s,
            standardise=standardise,
            factor=1.5,
            gain_hz=1 / 0.02,
            phi=PHI[phi],
        )
        np.testing.assert_allclose(file.truth["rates"][:], slow, rtol=1e-5)


def test_published_simulator_by_hand(tmp_path):
    """Two states, two trials of three bins: permuted copies, one mean and spread, exp of half the z-score."""
    states = np.array([[[0, 2], [1, 3], [2, 4]], [[1, 1], [0, 5], [3, 2]]], np.float32)
    path = tmp_path / "task.h5"
    with cc.create(
        path, "task", name="by hand", producer="tests", trial=2, time=3, bin_width_s=0.01
    ) as writer:
        writer.column("trials", "split", np.array([0, 2], np.uint8))
        writer.signal("states", states)
    record(path, tmp_path / "r.h5", ObservationConfig(held_in=2, held_out=1))
    with cc.open(tmp_path / "r.h5") as file:
        index = file.tables["neurons"]["state_index"]
        assert sorted(index[:2]) == [0, 1]
        activations = states[..., index].astype(float)
        x = (activations - activations.mean()) / (2 * activations.std())
        np.testing.assert_allclose(file.truth["rates"][:] * 0.01, np.exp(x), rtol=1e-6)
        assert file.held_out.tolist() == [False, False, True]


@pytest.mark.parametrize(
    "embedding", [LinearConfig(), SmoothConfig(features=9), None], ids=["linear", "smooth", "perm"]
)
@pytest.mark.parametrize("target", [None, ConstantTargetConfig(7.0)], ids=["free", "target"])
def test_the_readout_in_the_file_gives_its_rates(task, tmp_path, embedding, target):
    config = ObservationConfig(held_in=6, held_out=3, nonlinearity="softplus")
    config.embedding = embedding or config.embedding
    config.target_rate = target or config.target_rate
    record(task, tmp_path / "r.h5", config)
    with cc.open(tmp_path / "r.h5") as file:
        valid = file.valid_bins()
        rates = file.truth_readout().evaluate(file.truth["states"][:])
        np.testing.assert_allclose(file.truth["rates"][:][valid], rates[valid], rtol=2e-5)
        assert not file.truth["rates"][:][~valid].any()
        assert not file.signals["spikes"][:][~valid].any()


@pytest.mark.parametrize("phi", PHI)
@pytest.mark.parametrize(
    "target",
    [
        ConstantTargetConfig(4.0),
        ListedTargetConfig([1.0, 40.0, 3.0, 0.01, 5.0]),
        LognormalTargetConfig(6.0, 1.0),
    ],
    ids=["constant", "listed", "lognormal"],
)
def test_mean_rates_over_training_bins_hit_their_targets(task, tmp_path, phi, target):
    config = ObservationConfig(held_in=3, held_out=2, nonlinearity=phi, target_rate=target)
    record(task, tmp_path / "r.h5", config, seed=5)
    with cc.open(tmp_path / "r.h5") as file:
        train = file.split("train")
        means = file.truth["rates"][:][train][file.valid_bins()[train]].astype(float).mean(axis=0)
    if isinstance(target, LognormalTargetConfig):
        assert len(set(means.round(6))) == 5
    else:
        expected = getattr(target, "rates_hz", [4.0] * 5)
        np.testing.assert_allclose(means, expected, rtol=1e-6)


def test_lognormal_targets_have_the_mean_and_spread_asked_for():
    rates = LognormalTargetConfig(8.0, 0.5).rates(40_000, np.random.default_rng(0))
    assert rates.mean() == pytest.approx(8.0, rel=0.02)
    assert np.log(rates).std() == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("fano", [0.3, 1.0, 3.0])
def test_counts_scatter_around_the_rates_as_the_file_says(write_task, tmp_path, fano):
    task = write_task(tmp_path / "task.h5", n_trials=300, n_time=60)
    config = ObservationConfig(held_in=4, held_out=2, fano=fano, target_rate=ConstantTargetConfig(120.0))
    record(task, tmp_path / "r.h5", config)
    with cc.open(tmp_path / "r.h5") as file:
        valid = file.valid_bins()
        expected = file.truth["rates"][:][valid].astype(float) * 0.02
        squared = (file.signals["spikes"][:][valid] - expected) ** 2
        achieved = file.tables["neurons"]["fano_achieved"]
        error = 5 * squared.std(axis=0) / np.sqrt(len(squared)) / expected.mean(axis=0)
        assert (np.abs(squared.mean(axis=0) / expected.mean(axis=0) - achieved) < error).all()
        if fano < 1:
            fraction = expected - np.floor(expected)
            least = np.maximum(fano * expected, fraction * (1 - fraction)).sum(axis=0) / expected.sum(axis=0)
            np.testing.assert_allclose(achieved, least, rtol=1e-9)
            assert (achieved > fano).all()
        else:
            np.testing.assert_allclose(achieved, fano, rtol=1e-9)


@pytest.mark.parametrize(
    "embedding", [None, LinearConfig(), SmoothConfig(features=7)], ids=["perm", "linear", "smooth"]
)
@pytest.mark.parametrize("fano", [0.5, 1.0, 2.0])
def test_the_digest_does_not_depend_on_how_trials_are_cut(write_task, tmp_path, embedding, fano):
    task = write_task(tmp_path / "task.h5", n_trials=523, n_time=6)
    config = ObservationConfig(held_in=5, held_out=2, fano=fano, nonlinearity="softplus")
    config.embedding = embedding or config.embedding
    config.target_rate = ConstantTargetConfig(20.0)
    digests = set()
    for chunk in (1, 97, 256, 523, None):
        record(task, tmp_path / f"{chunk}.h5", config, chunk_trials=chunk)
        with cc.open(tmp_path / f"{chunk}.h5") as file:
            digests.add(file.digest)
    assert len(digests) == 1


def test_another_seed_gives_another_recording(task, tmp_path):
    digests, spikes = set(), []
    for seed in (0, 0, 1):
        path = tmp_path / f"{len(spikes)}.h5"
        record(task, path, seed=seed)
        with cc.open(path) as file:
            digests.add(file.digest)
            spikes.append(file.signals["spikes"][:])
    assert len(digests) == 2
    assert np.array_equal(spikes[0], spikes[1])
    assert not np.array_equal(spikes[0], spikes[2])


def test_padding_never_changes_anything(write_task, tmp_path):
    """What stands in the padded bins of the states reaches no constant, rate or count."""
    task = write_task(tmp_path / "task.h5")
    with cc.open(task) as file:
        clean = task_source(file)
        noise = {"states": 1e3 * ~clean.valid_bins(slice(None))[..., None]}

        def read(name, rows):
            return clean.read(name, rows) + noise[name][rows] if name in noise else clean.read(name, rows)

        config = ObservationConfig(held_in=5, held_out=2, embedding=SmoothConfig(features=8))
        for name, source in (("a", clean), ("b", replace(clean, read=read))):
            simulate(source, tmp_path / f"{name}.h5", config, seed=1, producer="tests")
    with cc.open(tmp_path / "a.h5") as a, cc.open(tmp_path / "b.h5") as b:
        assert np.array_equal(a.signals["spikes"][:], b.signals["spikes"][:])
        assert np.array_equal(a.truth["rates"][:], b.truth["rates"][:])


def test_everything_of_the_trials_is_carried_over(task, tmp_path):
    record(task, tmp_path / "r.h5")
    with cc.open(task) as source, cc.open(tmp_path / "r.h5") as file:
        assert file.kind == "recording"
        assert file.provenance.parents == (source.parent("task"),)
        assert np.array_equal(file.axis("trial"), source.axis("trial"))
        for name in ("inputs", "inputs_clean"):
            assert np.array_equal(file.signals[name][:], source.signals[name][:])
        for name in ("states", "inputs", "initial_state", "targets"):
            assert np.array_equal(file.truth[name][:], source.signals[name][:])
        for column in ("split", "length", "condition", "go_cue"):
            assert np.array_equal(file.tables["trials"][column], source.tables["trials"][column])
        assert file.tables["trials"].unit("go_cue") == "s"
        assert file.tables["conditions"]["name"].tolist() == ["left", "right"]
        assert file.names("input") == ["bit 0", "bit 1"]
        assert file.names("target") == ["memory 0", "memory 1"]
        assert np.array_equal(file.phases["go"], source.phases["go"])
        x, u = np.ones((3, 4)), np.ones((3, 2))
        assert np.array_equal(file.truth_dynamics().step(x, u), source.dynamics().step(x, u))
        assert set(file.signals) == {"spikes", "inputs", "inputs_clean"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"held_in": 0}, "held_in"),
        ({"factor": 0.0}, "factor"),
        ({"fano": -1.0}, "fano"),
        ({"nonlinearity": "relu"}, "nonlinearity"),
        ({"standardise": "bin"}, "standardise"),
        ({"gain_hz": -1.0}, "gain_hz"),
        ({"target_rate": ListedTargetConfig([1.0])}, "rates_hz"),
        ({"target_rate": ConstantTargetConfig(0.0)}, "above zero"),
        ({"target_rate": ConstantTargetConfig(60.0), "nonlinearity": "sigmoid"}, "gain_hz"),
        ({"embedding": SmoothConfig(features=0)}, "features"),
        ({"gain_hz": 1e9}, "spikes"),
    ],
)
def test_settings_that_make_no_sense_are_refused(task, tmp_path, change, said):
    with pytest.raises(ValueError, match=said):
        record(task, tmp_path / "r.h5", ObservationConfig(**{"held_in": 5, "held_out": 2, **change}))
    assert not (tmp_path / "r.h5").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["task.h5"]
