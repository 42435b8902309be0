"""The command for MR-SDS: a valid file that replays, frozen encoders, clear errors."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import numpy as np
import pytest
from omegaconf import OmegaConf

import ctd_contract as cc
import ctd_contract.testing as toys
from ctd_models_jax.cli import COMMAND
from ctd_models_jax.mrsds import data, export, sessions
from ctd_models_jax.mrsds.command import build
from ctd_models_jax.mrsds.config import (
    DynamicsConfig,
    EmissionConfig,
    EncoderConfig,
    MRSDSConfig,
    MRSDSTrainingConfig,
)
from ctd_models_jax.origin import Origin
from ctd_models_jax.recording import moments
from ctd_models_jax.training import Shuffled, fit

TINY = (
    *("model=mrsds", "model.modes=2", "model.states=[2,1]", "model.dynamics.layers=[4]", "training.steps=4"),
    *("model.encoder.units=4", "model.encoder.layers=[]", "model.encoder.embedding=[4]"),
    *("training.batch_size=16", "training.checkpoint_every=2", "forecasts=[2]"),
)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "recording.h5"
    toys.make_recording(path, n_trials=40, n_time=12, n_neurons=6, n_states=3, n_regions=2, lengths=True)
    return path


@pytest.fixture(scope="module")
def fitted(recording, tmp_path_factory):
    out = tmp_path_factory.mktemp("fit")
    assert COMMAND.invoke([f"data={recording}", f"out={out}", *TINY]) == 0
    return out / "inference.h5"


def test_the_file_is_valid_and_replays(recording, fitted):
    assert not [found for found in cc.validate(fitted, level="full") if found.severity == "error"]
    with cc.open(fitted) as file, cc.open(recording) as truth:
        dynamics, valid = file.dynamics(), file.valid_bins(slice(None))
        assert dynamics.kind == "switching_mlp"
        states, inputs = file.signals["states"][:], truth.signals["inputs"][:]
        modes = file.signals["mode_probability"][:]
        np.testing.assert_allclose(modes.sum(-1)[valid], 1.0, rtol=1e-5)
        each = [dynamics.step(states[:, :-1], inputs[:, 1:], np.full((40, 11), mode)) for mode in range(2)]
        step = np.einsum("btk,kbts->bts", modes[:, 1:], each) - states[:, :-1]
        told = file.signals["messages"][:].sum(2) + file.signals["input_messages"][:].sum(2)
        np.testing.assert_allclose(told[:, 1:][valid[:, 1:]], step[valid[:, 1:]], atol=1e-4)
        rates = file.readout().evaluate(states)
        np.testing.assert_allclose(file.signals["rates"][:][valid], rates[valid], rtol=1e-3)
        assert file.signals["forecast_2"].shape == rates.shape
        assert file.provenance.parents[0].digest == truth.digest


def test_activity_of_one_mode_is_written_too(tmp_path):
    """As it is before any training; a joint input network's messages have no place in the file."""
    path = tmp_path / "recording.h5"
    toys.make_recording(
        path, n_trials=20, n_time=8, n_neurons=6, n_states=3, n_regions=2, lengths=True, continuous=True
    )
    settings = MRSDSConfig(
        posterior="mean_field",
        dynamics=DynamicsConfig(layers=[3], communication="conditional", input_networks="joint"),
        emissions=EmissionConfig(layers=[4], noise="full"),
        encoder=EncoderConfig(kind="transformer", units=4, heads=1, embedding=[3], layers=[], noise="full"),
    )
    loaded = data.load(path, ["inputs"])
    model = build(settings, loaded)
    params, _ = eqx.filter_jit(model.initialize)(jax.random.key(0), *moments(loaded.trials))
    origin = Origin("toy", "a run", 0, {})
    given = (tmp_path / "inference.h5", sessions.read(path, ["inputs"]), model, params, origin)
    export.write(*given, count_from_mean=False)
    assert not [found for found in cc.validate(given[0], level="full") if found.severity == "error"]
    with cc.open(given[0]) as file:
        assert file.dynamics().settings["communication"] == "conditional"
        assert "mode_probability" not in file.signals
        assert "input_messages" not in file.signals
        valid = file.valid_bins(slice(None))
        expected = file.readout().evaluate(file.signals["states"][:])[valid]
        np.testing.assert_allclose(file.signals["activity_prediction"][:][valid], expected, atol=1e-4)


def test_a_full_covariance_needs_whole_bins(tmp_path):
    path = tmp_path / "recording.h5"
    toys.make_recording(path, n_trials=20, n_time=8, n_neurons=6, n_regions=2, continuous=True)
    loaded = data.load(path, ["inputs"])
    scored = loaded.trials.scored.copy()
    scored[0, 0, 0] = 0
    some = dataclasses.replace(loaded, trials=loaded.trials._replace(scored=scored))
    settings = MRSDSConfig(emissions=EmissionConfig(noise="full"))
    assert build(settings, loaded).family == "gaussian"
    with pytest.raises(ValueError, match="needs bins whose neurons were all observed"):
        build(settings, some)


def test_a_frozen_encoder_keeps_every_bit(recording):
    loaded = data.load(recording, ["inputs"])
    encoder = EncoderConfig(kind="transformer", units=4, heads=1, embedding=[3], layers=[])
    settings = MRSDSConfig(posterior="mean_field", encoder=encoder)
    settings.dynamics.layers = [4]
    model = build(settings, loaded)
    params, trainable = eqx.filter_jit(model.initialize)(jax.random.key(0))
    stages = MRSDSTrainingConfig(steps=2, frozen_steps=2).stages()[1:]
    found = fit(
        *(params, trainable, model.loss, Shuffled(40, 20)),
        stages=stages,
        key=jax.random.key(1),
        train=loaded.trials,
    ).params
    for name in ("encoder", "encoder_noise"):
        pairs = zip(*(jax.tree.leaves(getattr(tree, name)) for tree in (params, found)), strict=True)
        assert all(np.array_equal(one, other) for one, other in pairs)
    for name in ("dynamics", "emissions"):
        pairs = zip(*(jax.tree.leaves(getattr(tree, name)) for tree in (params, found)), strict=True)
        assert all(not np.array_equal(one, other) for one, other in pairs)


TOY = {
    "model.dynamics.layers": [32, 32],
    "model.dynamics.input_layers": [],
    "model.dynamics.by_mode": "weights",
    "model.dynamics.output": "next_state",
    "model.emissions.layers": [],
    "model.encoder.embedding": [8],
    "model.encoder.head_size": 35,
    "model.encoder.heads": 3,
    "model.encoder.feed_forward": 4,
    "model.encoder.blocks": 1,
    "model.encoder.layers": [32],
    "model.mode_transitions.recurrence": "states",
    "model.dropout_trials": 0,
    "training.batch_size": 64,
}
PUBLISHED = {
    "toy": TOY | {"model.posterior": "structured", "model.overshooting": 10},
    "toy_meanfield": TOY | {"model.posterior": "mean_field", "model.mode_transitions.layers": [8]},
    "large": {
        "model.posterior": "structured",
        "model.overshooting": 10,
        "model.smoothness": 0.1,
        "model.dynamics.layers": [32, 32],
        "model.dynamics.input_layers": [4],
        "model.dynamics.by_mode": "biases",
        "model.emissions.layers": [128, 128],
        "model.encoder.embedding": [20, 10],
        "model.encoder.head_size": 50,
        "model.encoder.heads": 10,
        "model.encoder.feed_forward": 10,
        "model.encoder.blocks": 2,
        "model.encoder.layers": [45],
        "model.dropout_neurons": 0.25,
        "model.dropout_trials": 0.5,
        "training.batch_size": 64,
    },
}
# Steps of each stage, peak of the learning rate, updates of its rise.
SCHEDULES = {
    "toy": ([2001], 1e-2, [500]),
    "toy_meanfield": ([2001, 3001], 1e-2, [500, 500]),
    "large": ([15001], 3e-3, [1000]),
}


@pytest.mark.parametrize("preset", ["toy", "toy_meanfield", "large"])
def test_presets_are_as_published(recording, capsys, preset):
    assert COMMAND.invoke(["model=mrsds", f"data={recording}", f"preset={preset}", "--cfg", "job"]) == 0
    found = OmegaConf.create(capsys.readouterr().out)
    for name, value in PUBLISHED[preset].items():
        assert OmegaConf.select(found, name) == value, name
    stages = MRSDSTrainingConfig(**found.training).stages()
    steps, peak, rises = SCHEDULES[preset]
    assert [stage.steps for stage in stages] == steps
    for stage, rise in zip(stages, rises, strict=True):
        rates = np.asarray([stage.learning_rates(1)(step) for step in (0, rise, stage.steps)])
        np.testing.assert_allclose(rates, [1e-5, peak, 0.01 * peak], rtol=0.02)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model.inputs=[behaviour]"], "no signal behaviour"),
        (["model.states=[2,2,2]"], "states: expected one number or 2, got [2, 2, 2]"),
        (["model.emissions.family=gaussian"], "family=gaussian can't describe spikes"),
        (["model.posterior=exact"], "posterior must be one of structured, mean_field, chain, laplace"),
        (["model.encoder.kind=lstm"], "kind must be one of gru, transformer"),
        (["model.dynamics.layers=[0]"], "layers must hold whole numbers above 0, got [0]"),
        (["model.objective=published", "model.posterior=chain"], "needs posterior=structured or mean_field"),
        (["training.beta_peak=0.5"], "beta_peak must be 1 or more, got 0.5"),
        (["model.dropout_trials=1.5"], "dropout_trials must lie in [0, 1], got 1.5"),
        (["forecasts=[1,12]"], "have 12 bins, so that at most 11 ahead can be told"),
    ],
)
def test_bad_input_is_a_sentence(recording, tmp_path, capsys, arguments, words):
    assert COMMAND.invoke([f"data={recording}", f"out={tmp_path}", *TINY, *arguments]) == 2
    assert words in capsys.readouterr().err
