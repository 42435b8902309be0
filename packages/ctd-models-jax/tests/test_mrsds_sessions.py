"""Several recordings in one model of MR-SDS: neurons of their own, regions by name, files of each."""

from __future__ import annotations

import csv
import json

import equinox as eqx
import jax
import numpy as np
import pytest

import ctd_contract as cc
from ctd_models_jax.cli import COMMAND
from ctd_models_jax.mrsds import MRSDS, sessions
from ctd_models_jax.mrsds.config import DynamicsConfig, EncoderConfig, MRSDSConfig
from ctd_models_jax.mrsds.joint import JointMRSDS
from ctd_models_jax.recording import moments

TINY = (
    *("model=mrsds", "model.states=[2,1]", "model.dynamics.layers=[4]", "training.steps=4"),
    *("model.encoder.units=4", "model.encoder.layers=[]", "model.encoder.embedding=[4]"),
    *("training.batch_size=8", "training.checkpoint_every=2"),
)
SETTINGS = MRSDSConfig(
    states=[2, 1],
    dynamics=DynamicsConfig(layers=[4]),
    encoder=EncoderConfig(units=4, embedding=[3], layers=[]),
)


def record(path, regions, names, *, seed=0, n_trials=20, n_time=9, inputs=1, bin_width_s=0.01):
    """A recording whose neurons lie in these regions; one held out of each."""
    rng, neurons = np.random.default_rng(seed), np.arange(len(regions)) + 10 * seed
    header = {"name": path.stem, "producer": "test", "bin_width_s": bin_width_s}
    time = np.arange(n_time) * bin_width_s
    with cc.create(path, "recording", trial=np.arange(n_trials), time=time, **header) as file:
        file.axis("neuron", neurons)
        file.column("trials", "split", np.arange(n_trials) % 10 // 7)
        file.axis("region", np.arange(len(names)))
        file.names("region", list(names))
        file.column("neurons", "region", np.asarray(regions, np.int32))
        first = [regions.index(region) for region in range(len(names))]
        file.column("neurons", "held_out", np.isin(np.arange(len(regions)), first))
        file.signal("spikes", rng.poisson(1.0, (n_trials, n_time, len(regions))).astype(np.uint8))
        file.signal("inputs", rng.normal(size=(n_trials, n_time, inputs)).astype(np.float32))
    return path


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Two days with other neurons, trials and lengths, whose files name regions in another order."""
    folder = tmp_path_factory.mktemp("days")
    monday = record(folder / "monday.h5", [0, 0, 0, 1, 1], "VS")
    tuesday = record(folder / "tuesday.h5", [0, 0, 0, 1, 1, 1, 1], "SV", seed=1, n_trials=30, n_time=12)
    return [monday, tuesday]


@pytest.fixture(scope="module")
def joint(days):
    """The model of both days, parameters far from their start, and the trials."""
    read = sessions.read_together(days, ["inputs"])
    models = [MRSDS(s.recording.neuron_regions, s.recording.held_in, 1, "poisson", SETTINGS) for s in read]
    model = JointMRSDS(("monday", "tuesday"), tuple(models))
    trials = [s.recording.of_split("train") for s in read]
    means, stds = zip(*map(moments, trials), strict=True)
    params, flags = eqx.filter_jit(model.initialize)(jax.random.key(0), means, stds)
    rng = np.random.default_rng(0)
    arrays, rest = eqx.partition(params, eqx.is_inexact_array)
    arrays = jax.tree.map(lambda a: a + 0.3 * rng.normal(size=a.shape).astype(np.float32), arrays)
    return model, eqx.combine(arrays, rest), flags, trials


def test_regions_are_matched_by_name(days):
    monday, tuesday = sessions.read_together(days[::-1], ["inputs"])
    assert [s.identity.name for s in (monday, tuesday)] == ["monday", "tuesday"]
    assert monday.identity.regions == tuesday.identity.regions == ("V", "S")
    assert monday.recording.neuron_regions == (0, 0, 0, 1, 1)
    assert tuesday.recording.neuron_regions == (1, 1, 1, 0, 0, 0, 0)
    assert (monday.file_regions, tuesday.file_regions) == ((0, 1), (1, 0))


def test_each_day_has_parameters_of_its_own(joint):
    """Its terms depend on them and on what is shared, and on nothing of another day."""
    model, params, _, trials = joint

    @eqx.filter_jit
    def gradient(params, index, trials):
        def total(params):
            own = model.of(params, index)
            return sum(model.models[index].loss(own, trials, key=jax.random.key(1)).values())

        return eqx.filter_grad(total)(params)

    for index in range(2):
        found = gradient(params, index, trials[index])
        for day in range(2):
            encoder, emissions = found.encoder.sessions[day], found.emissions[day]
            own = [encoder.embeddings[0].weights[0], encoder.embeddings[1].weights[0]]
            own += [network.weights[0] for network in emissions.networks]
            assert [bool(np.asarray(g).any()) for g in own] == [day == index] * 4
        shared = (found.encoder.core, found.encoder.head, found.dynamics, found.encoder_noise)
        assert all(np.asarray(g).any() for part in shared for g in jax.tree.leaves(part))


@pytest.fixture(scope="module")
def outputs(joint):
    """From parameters to the joint score, the score of each day and what each infers; compiled once."""
    model, _, _, trials = joint
    keys = (jax.random.key(3), jax.random.fold_in(jax.random.key(3), 1))

    @eqx.filter_jit
    def told(params):
        days = list(enumerate(model.models))
        each = [one.score(model.of(params, day), trials[day], key=keys[day]) for day, one in days]
        inferred = [one.infer(model.of(params, day), trials[day]) for day, one in days]
        return model.score(params, trials, key=keys[0]), each, inferred

    return told


def test_the_output_of_a_day_follows_its_own_parameters_alone(joint, outputs):
    params = joint[1]

    def changed(day):
        def places(params):
            own = params.encoder.sessions[day].embeddings[0].weights[0]
            return own, params.emissions[day].networks[0].biases[-1]

        return eqx.tree_at(places, params, tuple(array + 1.0 for array in places(params)))

    before = outputs(params)[2]
    for change in range(2):
        after = outputs(changed(change))[2]
        for day in range(2):
            for name in ("states", "prediction"):
                same = np.array_equal(getattr(before[day], name), getattr(after[day], name))
                assert same == (day != change)


def test_scores_are_those_of_each_day(joint, outputs):
    found, each, _ = outputs(joint[1])
    assert set(found) == {*each[0], "bound/monday", "bound/tuesday"}
    for name in each[0]:
        np.testing.assert_allclose(found[name], np.mean([terms[name] for terms in each]), rtol=1e-5)
    for name, terms in zip(joint[0].names, each, strict=True):
        np.testing.assert_allclose(found[f"bound/{name}"], terms["bound"], rtol=1e-5)


def test_one_session_is_the_model_of_one(joint):
    models, trials = joint[0].models, joint[3]
    alone, model = models[0], JointMRSDS(("monday",), models[:1])
    first, key = moments(trials[0]), jax.random.key(5)

    @eqx.filter_jit
    def both(key):
        expected, flags = alone.initialize(key, *first)
        params, joint_flags = model.initialize(key, *([part] for part in first))
        assert jax.tree.leaves(model.of(joint_flags, 0)) == jax.tree.leaves(flags)
        return [
            (
                model.of(params, 0),
                model.loss(params, trials[:1], key=key),
                model.score(params, trials[:1], key=key),
            ),
            (expected, alone.loss(expected, trials[0], key=key), alone.score(expected, trials[0], key=key)),
        ]

    jax.tree.map(np.testing.assert_array_equal, *both(key))


@pytest.fixture(scope="module")
def fitted(days, tmp_path_factory):
    out = tmp_path_factory.mktemp("fit")
    assert COMMAND.invoke([f"data={days[0].parent}/*day.h5", f"out={out}", *TINY]) == 0
    return out


def test_a_file_for_each_day(days, fitted):
    rows = json.loads((fitted / "sessions.json").read_text())["sessions"]
    assert [row["name"] for row in rows] == ["monday", "tuesday"]
    runs = []
    for path, row in zip(days, rows, strict=True):
        written = fitted / row["file"]
        assert not [f for f in cc.validate(written, level="full") if f.severity == "error"]
        with cc.open(written) as file, cc.open(path) as recording:
            assert (row["id"], row["digest"]) == (recording.id, recording.digest)
            assert file.provenance.parents[0].digest == recording.digest
            runs.append(file.provenance.run)
            names, states = file.names("region"), file.tables["states"]["region"]
            assert [names[region] for region in states] == ["V", "V", "S"]
            dynamics, x = file.dynamics(), file.signals["states"][:]
            told = file.signals["messages"][:]
            expected = dynamics.messages(
                x[:, :-1], np.zeros(x[:, :-1].shape[:2], int), reference=x.mean((0, 1))
            )
            for source, name in enumerate(names):
                np.testing.assert_allclose(told[:, 1:, source], expected[:, :, "VS".index(name)], atol=1e-4)
    assert runs[0] == runs[1]
    with (fitted / "metrics.csv").open() as file:
        assert {"valid/bound/monday", "valid/bound/tuesday"} <= set(next(csv.reader(file)))


def test_a_fitted_model_predicts_each_day(days, fitted, tmp_path, capsys):
    """As ``ctd-benchmark`` asks: with the list of sessions, and without the model's name."""
    for index, day in enumerate(days):
        out = tmp_path / day.stem
        arguments = [f"predict='{fitted}/sessions.json'", f"data='{day}'", f"out={out}", "name=later"]
        assert COMMAND.invoke(arguments) == 0
        with cc.open(out / "inference.h5") as file, cc.open(fitted / f"inference_{day.stem}.h5") as known:
            for name in ("rates", "states", "messages"):
                np.testing.assert_array_equal(file.signals[name][:], known.signals[name][:])
            assert file.name == "later"
        other = [f"predict={fitted}", f"data={days[1 - index]}", f"out={tmp_path}/no", f"session={day.stem}"]
        assert COMMAND.invoke(other) == 2
        assert "differs in the ids of the neurons" in capsys.readouterr().err
    assert COMMAND.invoke([f"predict={tmp_path}", f"data={days[0]}", f"out={tmp_path}/none"]) == 2
    assert "there is no fitted model in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"names": "VT"}, "differ in the regions: ['S', 'V'] and ['T', 'V']"),
        ({"inputs": 2}, "differ in the number of input channels: 1 and 2"),
        ({"bin_width_s": 0.02}, "differ in the bin width in s: 0.01 and 0.02"),
        ({}, "are the same recording"),
    ],
)
def test_recordings_that_one_model_cannot_be_of(days, tmp_path, changes, words):
    given = {"names": "VS", **changes}
    other = record(tmp_path / "monday.h5", [0, 0, 0, 1, 1], **given)
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        sessions.read_together([days[0], other], ["inputs"])
    assert words in str(raised.value)


def test_settings_that_do_not_fit_are_named(days):
    model = MRSDS((0, 1), (True, True), 1, "poisson", SETTINGS)
    other = MRSDS((0, 1), (True, True), 2, "poisson", SETTINGS)
    with pytest.raises(ValueError, match="inputs must be those of a in all sessions, 1: b has 2"):
        JointMRSDS(("a", "b"), (model, other))
