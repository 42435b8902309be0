"""Whole fits of LFADS: what they write, and that it can be replayed, predicted from and continued."""

from dataclasses import replace

import numpy as np
import pytest
from toys import digest_of

import ctd_contract as cc
from ctd_models_torch.fitting import fit
from ctd_models_torch.lfads.config import ControllerConfig, GeneratorConfig, InitialEncoderConfig, LFADSConfig
from ctd_models_torch.prediction import predict

SMALL = {"size": 5, "factors": 3, "initial_condition": 4, "encoder": InitialEncoderConfig(size=4)}
CONTROLLER = ControllerConfig(size=4, controls=2, encoder_size=3)
FORMS = {
    "known inputs": LFADSConfig(**SMALL),
    "controller": LFADSConfig(**SMALL, controller=CONTROLLER),
    "torch's reset": LFADSConfig(**SMALL, generator=GeneratorConfig(reset="after"), controller=CONTROLLER),
    "node": LFADSConfig(**SMALL, generator=GeneratorConfig("node", hidden_size=6), controller=CONTROLLER),
}


@pytest.mark.parametrize("form", FORMS)
def test_exported_dynamics_replay_the_exported_states(form, ragged, small_fit, tmp_path):
    config = FORMS[form]
    fitted = fit(ragged, tmp_path, model=config, training=replace(small_fit, max_epochs=2))
    with cc.open(fitted.path) as file:
        signals = {name: array[:].astype(np.float64) for name, array in file.signals.items()}
        dynamics, readout, kept = file.dynamics(), file.readout(), file.valid_bins()
    names = ("inferred_inputs", "inputs") if config.controller.exists else ("inputs",)
    assert dynamics.inputs == names
    drive = np.concatenate([signals[name] for name in names], axis=2)
    state = signals["initial_state"]
    for index in range(kept.shape[1]):
        state = dynamics.step(state, drive[:, index])
        rows = kept[:, index]
        np.testing.assert_allclose(state[rows], signals["states"][rows, index], atol=1e-4)
    np.testing.assert_allclose(readout.factors(signals["states"]), signals["factors"], atol=1e-5)
    np.testing.assert_allclose(readout.evaluate(signals["states"])[kept], signals["rates"][kept], rtol=1e-3)


def test_the_generator_is_the_published_unit(recording, small_fit, tmp_path):
    fitted = fit(recording, tmp_path, model=LFADSConfig(**SMALL), training=replace(small_fit, max_epochs=1))
    with cc.open(fitted.path) as file:
        dynamics = file.dynamics()
    assert (dynamics.kind, dynamics.reset, dynamics.clip) == ("gru", "before", 5.0)


def test_the_training_file_gives_the_export(recording, small_fit, tmp_path):
    config = replace(FORMS["controller"], dropout=0.1)
    fit(recording, tmp_path / "run", model=config, training=replace(small_fit, max_epochs=1))
    predict(tmp_path / "run", recording, tmp_path / "again.h5", accelerator="cpu")
    assert digest_of(tmp_path / "again.h5") == digest_of(tmp_path / "run/inference.h5")
