"""Whole fits of LFADS: what they write, and that it can be replayed, predicted from and continued."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from toys import digest_of, small_config

import ctd_contract as cc
from ctd_contract.testing import make_recording
from ctd_contract.torch.training import NonFiniteLossError
from ctd_models_torch.fitting import fit
from ctd_models_torch.lfads.config import (
    AugmentationConfig,
    ControllerConfig,
    GeneratorConfig,
    InitialEncoderConfig,
    KLConfig,
    L2Config,
    LFADSConfig,
    RampConfig,
)
from ctd_models_torch.lfads.priors import NormalPrior
from ctd_models_torch.lfads.read_in_config import ReadInConfig
from ctd_models_torch.prediction import predict
from ctd_models_torch.saved import load_model
from ctd_models_torch.training import ModelTraining

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


def metrics_of(folder) -> dict[str, list[float]]:
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def test_it_predicts_better_than_mean_rates_and_shows_every_term(small_fit, tmp_path):
    shape = {"n_trials": 100, "n_time": 20, "n_neurons": 12}
    path = make_recording(tmp_path / "fast.h5", **shape, mean_rate_hz=100.0, seed=1)
    model = LFADSConfig(**(SMALL | {"size": 16}), controller=CONTROLLER, kl=KLConfig(ramp=RampConfig(0, 5)))
    settings = replace(small_fit, max_epochs=25, learning_rate=2e-2)
    fit(path, tmp_path / "run", model=model, training=settings)
    metrics = metrics_of(tmp_path / "run")
    assert {"train/reconstruction", "train/kl_initial_condition", "train/kl_controls"} <= set(metrics)
    assert {"valid/kl_initial_condition", "valid/kl_controls"} <= set(metrics)
    best = metrics["valid/loss"].index(min(metrics["valid/loss"]))
    # The true rates get .35; an encoder alone, which copies spikes, gains nothing on neurons held out.
    assert metrics["valid/bps"][best] > 0.1
    assert metrics["valid/co_bps"][best] > 0.05


def test_an_interrupted_fit_ends_alike(ragged, small_fit, tmp_path, monkeypatch):
    model = replace(FORMS["controller"], dropout=0.1)
    model.augmentation = AugmentationConfig(jitter_bins=1, shift_std=0.5, sample_validation=0.1)
    settings = replace(
        small_fit, max_epochs=4, optimizer="adamw", weight_decay=1e-3, schedule="plateau", smoothing=0.3
    )
    fit(ragged, tmp_path / "whole", model=model, training=settings)
    losses = ModelTraining.losses

    def dying(self, batch, draw):
        if self.current_epoch == 2:
            raise RuntimeError("killed")
        return losses(self, batch, draw)

    with monkeypatch.context() as patch:
        patch.setattr(ModelTraining, "losses", dying)
        with pytest.raises(RuntimeError, match="killed"):
            fit(ragged, tmp_path / "broken", model=model, training=settings)
    fit(ragged, tmp_path / "broken", model=model, training=settings, resume=True)
    assert (tmp_path / "broken/metrics.csv").read_text() == (tmp_path / "whole/metrics.csv").read_text()
    assert digest_of(tmp_path / "broken/inference.h5") == digest_of(tmp_path / "whole/inference.h5")


def test_a_non_finite_divergence_is_named(recording, small_fit, tmp_path, monkeypatch):
    kl, calls = NormalPrior.divergence, []

    def breaking(self, posterior, sample):
        calls.append(None)
        return kl(self, posterior, sample) * (float("inf") if len(calls) > 2 else 1.0)

    monkeypatch.setattr(NormalPrior, "divergence", breaking)
    with pytest.raises(NonFiniteLossError, match="'kl_initial_condition' is inf in epoch 1, step 3"):
        fit(recording, tmp_path, model=LFADSConfig(**SMALL), training=small_fit)


@pytest.mark.parametrize("observation", ["gaussian", "varying_gaussian", "gamma", "mean_squared_error"])
def test_activity_is_predicted_by_each_observation(observation, small_fit, tmp_path):
    path = positive_activity(tmp_path / "activity.h5")
    model = LFADSConfig(**SMALL, observation=observation)
    fitted = fit(path, tmp_path / "run", model=model, training=replace(small_fit, max_epochs=2))
    with cc.open(fitted.path) as file:
        predicted = file.signals["activity_prediction"][:]
        replayed = file.readout().evaluate(file.signals["states"][:])
    np.testing.assert_allclose(replayed, predicted, rtol=1e-3, atol=1e-4)
    assert load_model(tmp_path / "run").model.observation.n_parameters in (1, 2)


def positive_activity(path):
    random = np.random.default_rng(0)
    activity = random.gamma(2.0, 1.5, (30, 10, 5)).astype(np.float32)
    split = np.repeat([0, 1, 2], [20, 5, 5]).astype(np.uint8)
    time = np.arange(10) * 0.01
    with cc.create(
        path, "recording", name="gamma", trial=np.arange(30), time=time, bin_width_s=0.01,
        axes={"neuron": 5, "input": 1}, producer="test", config={}, seed=0,
    ) as writer:  # fmt: skip
        writer.column("trials", "split", split)
        writer.column("neurons", "held_out", np.array([0, 0, 0, 0, 1], np.uint8))
        writer.signal("activity", activity, unit="dF/F")
        writer.signal("inputs", random.standard_normal((30, 10, 1)).astype(np.float32), unit="1")
    return path


def test_no_early_stop_before_the_ramps_end(recording, small_fit, tmp_path):
    model = LFADSConfig(**SMALL, kl=KLConfig(ramp=RampConfig(0, 5)), l2=L2Config(ramp=RampConfig(1, 3)))
    settings = replace(small_fit, max_epochs=12, patience=1, learning_rate=1e-9)
    fitted = fit(recording, tmp_path, model=model, training=settings)
    assert 6 <= fitted.training.epochs < 12


READ_IN = LFADSConfig(**SMALL, controller=CONTROLLER, read_in=ReadInConfig(4), dropout=0.2)


@pytest.mark.parametrize("model", [READ_IN, replace(small_config("gru"), dropout=0.2)], ids=["lfads", "gru"])
def test_mixed_precision_is_close_to_single(model, recording, small_fit, tmp_path):
    """Loops, masks, clipping and optimiser, where layers before them give half precision."""
    scores = [
        fit(
            recording, tmp_path / form, model=model, training=replace(small_fit, precision=form)
        ).training.best_score
        for form in ("32-true", "bf16-mixed")
    ]
    assert scores[1] == pytest.approx(scores[0], rel=0.02)
    assert scores[0] != scores[1]
