"""The command for LFADS-JSLDS: two files that replay, exact resuming, several recordings, clear errors."""

from __future__ import annotations

import json

import equinox as eqx
import jax
import numpy as np
import pytest

import ctd_contract as cc
import ctd_contract.testing as toys
from ctd_models_jax.cli import COMMAND
from ctd_models_jax.lfads_jslds import export, prediction
from ctd_models_jax.lfads_jslds.config import EncoderConfig, LFADSJSLDSConfig, PriorConfig
from ctd_models_jax.origin import Origin
from ctd_models_jax.recording import moments
from ctd_models_jax.sessions import read

TINY = (
    *("model=lfads_jslds", "model.units=4", "model.factors=3", "model.encoder.units=3", "training.steps=8"),
    *("training.batch_size=14", "training.checkpoint_every=1", "model.dropout=0.1"),
)
CONTROLLED = ("model.controller.units=3", "model.controller.controls=2", "model.kept_inputs=[0]")
FILES = ("inference_rnn.h5", "inference.h5")


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "recording.h5"
    toys.make_recording(path, n_trials=40, n_time=9, n_neurons=6, n_states=3, lengths=True)
    return path


@pytest.fixture(scope="module")
def fitted(recording, tmp_path_factory):
    out = tmp_path_factory.mktemp("fit")
    assert COMMAND.invoke([f"data={recording}", f"out={out}", *TINY, *CONTROLLED]) == 0
    return out


def test_both_files_are_valid_and_replay(recording, fitted):
    with cc.open(recording) as truth:
        known, digest = truth.signals["inputs"][:], truth.digest
    runs = set()
    for name, kind in zip(FILES, ("gru", "jslds"), strict=True):
        assert not [found for found in cc.validate(fitted / name, level="full") if found.severity == "error"]
        with cc.open(fitted / name) as file:
            dynamics, valid = file.dynamics(), file.valid_bins(slice(None))
            assert (dynamics.kind, dynamics.inputs) == (kind, ("inferred_inputs", "inputs"))
            inputs = np.concatenate([file.signals["inferred_inputs"][:], known], -1)
            state = file.signals["initial_state"][:].astype(float)
            for k in range(9):
                if kind == "jslds":
                    point, _ = dynamics.expansion_point(state, inputs[:, k])
                    told = file.signals["expansion_points"][:, k]
                    np.testing.assert_allclose(told[valid[:, k]], point[valid[:, k]], atol=1e-4)
                state = dynamics.step(state, inputs[:, k])
                told = file.signals["states"][:, k]
                np.testing.assert_allclose(told[valid[:, k]], state[valid[:, k]], atol=1e-4)
            readout, states = file.readout(), file.signals["states"][:]
            np.testing.assert_allclose(
                file.signals["rates"][:][valid], readout.evaluate(states)[valid], rtol=1e-3
            )
            np.testing.assert_allclose(
                file.signals["factors"][:][valid], readout.factors(states)[valid], atol=1e-4
            )
            assert file.provenance.parents[0].digest == digest
            runs.add((file.provenance.run, file.name.removesuffix("_rnn")))
    assert len(runs) == 1


def test_an_interrupted_fit_ends_like_one_that_was_not(recording, fitted, tmp_path, monkeypatch):
    from ctd_models_jax.training.record import Record

    save = Record.save

    def interrupt(self, state, stage, epoch):
        save(self, state, stage, epoch)
        if epoch == 2:
            raise KeyboardInterrupt

    line = [f"data={recording}", f"out={tmp_path}", *TINY, *CONTROLLED]
    with monkeypatch.context() as patched:
        patched.setattr(Record, "save", interrupt)
        assert COMMAND.invoke(line) != 0
    assert not (tmp_path / "inference.h5").exists()
    assert COMMAND.invoke([*line, "resume=true"]) == 0
    for name in FILES:
        with cc.open(tmp_path / name) as file, cc.open(fitted / name) as whole:
            assert file.digest == whole.digest
    assert (tmp_path / "metrics.csv").read_text() == (fitted / "metrics.csv").read_text()


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A recording of other neurons that can be fitted together with the first."""
    path = tmp_path_factory.mktemp("other") / "other.h5"
    toys.make_recording(path, n_trials=20, n_time=9, n_neurons=4, n_states=3, seed=1)
    return path


@pytest.fixture(scope="module")
def joint(recording, other, tmp_path_factory):
    out = tmp_path_factory.mktemp("joint")
    line = [f"data=[{other},{recording}]", f"out={out}", *TINY, "training.steps=2"]
    assert COMMAND.invoke(line) == 0
    return out


def sessions_of(joint):
    return json.loads((joint / "sessions.json").read_text())["sessions"]


def test_recordings_are_fitted_together(joint):
    runs = set()
    for row in sessions_of(joint):
        for name in (row["file"], row["network"]):
            assert not [f for f in cc.validate(joint / name, level="full") if f.severity == "error"]
            with cc.open(joint / name) as file:
                assert file.provenance.parents[0].digest == row["digest"]
                runs.add(file.provenance.run)
    assert len(sessions_of(joint)) == 2
    assert len(runs) == 1


def test_a_fit_applied_to_its_own_recording_writes_the_files_of_the_fit(recording, fitted, tmp_path):
    """Bit for bit, and without the model's name."""
    assert COMMAND.invoke([f"predict={fitted}", f"data={recording}", f"out={tmp_path}"]) == 0
    for name in FILES:
        with cc.open(tmp_path / name) as file, cc.open(fitted / name) as known:
            assert file.digest == known.digest
            assert file.name == known.name
            assert file.provenance.config == known.provenance.config
            assert file.provenance.run != known.provenance.run


def test_each_recording_of_a_fit_is_found_by_its_neurons(recording, other, joint, tmp_path, capsys):
    rows = sessions_of(joint)
    for path in (recording, other):
        with cc.open(path) as source:
            row = next(row for row in rows if row["id"] == source.id)
        out = tmp_path / path.stem
        line = [f"predict={joint / 'sessions.json'}", f"data={path}"]
        assert COMMAND.invoke([*line, f"out={out}"]) == 0
        for name, known in (("inference.h5", row["file"]), ("inference_rnn.h5", row["network"])):
            with cc.open(out / name) as file, cc.open(joint / known) as whole:
                assert file.digest == whole.digest
        wrong = next(one["name"] for one in rows if one is not row)
        assert COMMAND.invoke([*line, f"out={tmp_path / 'no'}", f"session={wrong}"]) == 2
        assert f"{wrong} differs in the ids of the neurons" in capsys.readouterr().err
    assert COMMAND.invoke([*line, f"out={tmp_path / 'no'}", "session=sunday"]) == 2
    assert "session=sunday: the model was fitted to" in capsys.readouterr().err


def test_what_a_fit_is_not_for_is_refused(recording, other, fitted, tmp_path, capsys):
    line = [f"predict={fitted}", f"out={tmp_path}"]
    assert COMMAND.invoke([*line, f"data={other}"]) == 2
    assert "is no recording that the model is for; " in capsys.readouterr().err
    assert COMMAND.invoke([*line, f"data=[{recording},{other}]"]) == 2
    assert "a prediction is of one recording, got 2" in capsys.readouterr().err
    assert COMMAND.invoke([*line, f"data={recording}", "model=mrsds"]) == 2
    assert "holds lfads_jslds, not mrsds" in capsys.readouterr().err


def test_activity_without_inputs_is_written_too(tmp_path):
    """As it is before any training."""
    path = tmp_path / "recording.h5"
    toys.make_recording(path, n_trials=20, n_time=6, n_neurons=5, n_states=3, continuous=True)
    prior, encoder = PriorConfig("none"), EncoderConfig(units=3, bins=4)
    settings = LFADSJSLDSConfig(units=4, factors=3, inputs=[], encoder=encoder, initial_prior=prior)
    session = read(path, [])
    model = prediction.model_of([session.identity], settings)
    given = ([part] for part in moments(session.recording.trials))
    params, _ = eqx.filter_jit(model.initialize)(jax.random.key(0), *given)
    files = tuple(tmp_path / name for name in FILES)
    export.write(files, session, 0, model, params, Origin("toy", "a run", 0, {}))
    for path in files:
        assert not [found for found in cc.validate(path, level="full") if found.severity == "error"]
        with cc.open(path) as file:
            assert file.dynamics().inputs == ()
            expected = file.readout().evaluate(file.signals["states"][:])
            np.testing.assert_allclose(file.signals["activity_prediction"][:], expected, atol=1e-4)


@pytest.mark.parametrize("preset", ["published_integrator", "published_flip_flop"])
def test_presets_are_the_published_settings(recording, capsys, preset):
    assert COMMAND.invoke(["model=lfads_jslds", f"data={recording}", f"preset={preset}", "--cfg", "job"]) == 0
    shown = capsys.readouterr().out
    for line in ("epsilon: 0.1", "l2: 2.0e-05", "smallest_variance: 0.001", "loss_per: trial", "start: 500"):
        assert line in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model.inputs=[behaviour]"], "no signal behaviour"),
        (["model.encoder.bins=9", *CONTROLLED], "leaves the controller none of 9 bins"),
        (["model.encoder.bins=4", "model.controller.lag=5", *CONTROLLED], "the controller nothing of 5 bins"),
        (["model.family=gaussian"], "family=gaussian can't describe spikes"),
        (["model.kept_inputs=[7]"], "channels, counted from 0, got 7"),
        (["model.initial_prior.kind=autoregressive"], "an initial state has no time"),
        (["model.control_prior.kind=cauchy"], "kind must be one of normal, autoregressive"),
        (["training.loss_per=bin"], "loss_per must be one of count, trial"),
        (["model.kl.first=1"], "first must lie in [0, 1)"),
        (["model.unit=3"], "did you mean 'model.units'?"),
    ],
)
def test_bad_input_is_a_sentence(recording, tmp_path, capsys, arguments, words):
    assert COMMAND.invoke([f"data={recording}", f"out={tmp_path}", *TINY, *arguments]) == 2
    assert words in capsys.readouterr().err


def test_recordings_that_differ_in_what_is_shared_are_refused(recording, tmp_path, capsys):
    other = tmp_path / "other.h5"
    toys.make_recording(other, n_trials=20, n_time=8, n_neurons=4, n_states=3)
    line = [f"out={tmp_path / 'fit'}", *TINY]
    assert COMMAND.invoke([f"data=[{recording},{other}]", *line]) == 2
    assert "they differ in the number of bins: 9 and 8" in capsys.readouterr().err
    assert COMMAND.invoke([f"data=[{recording},{recording}]", *line]) == 2
    assert "are the same recording" in capsys.readouterr().err
