"""BAND: what behaviour adds to LFADS's loss, and whole fits."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import batch_of, digest_of, draw, shape_of, signals_of

import ctd_contract as cc
from ctd_contract.testing import make_recording
from ctd_models_torch.build import build_model
from ctd_models_torch.config import LinearReadoutConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.fitting import fit
from ctd_models_torch.lfads.behavior_config import BEHAVIOR_DECODERS, BANDConfig, BehaviorConfig
from ctd_models_torch.lfads.config import (
    ControllerConfig,
    InitialEncoderConfig,
    KLConfig,
    LFADSConfig,
    RampConfig,
)
from ctd_models_torch.lfads.model import Trials
from ctd_models_torch.prediction import predict
from ctd_models_torch.recording import Statistics
from ctd_models_torch.saved import load_model

BINS, NEURONS = 7, 6
CONTROLLER = ControllerConfig(size=4, controls=2, encoder_size=3)
SMALL = {
    "size": 5,
    "factors": 3,
    "initial_condition": 4,
    "encoder": InitialEncoderConfig(size=4),
    "controller": CONTROLLER,
}
NOW = RampConfig(0, 0)


def band(behavior: BehaviorConfig, **settings) -> BANDConfig:
    return BANDConfig(**(SMALL | settings), behavior=behavior)


def built(config: LFADSConfig):
    shape = shape_of(neurons=NEURONS)
    scale = np.array([1.0, -2.0]), np.array([0.5, 4.0])
    known = Statistics(np.full(NEURONS, 0.7), np.full(NEURONS, 0.5), np.zeros(NEURONS), scale)
    return build_model(config, LinearReadoutConfig(), shape, known), shape


@pytest.mark.parametrize("reconstruction", ["sum", "published_mean"])
def test_behavior_is_a_term_of_its_own_beside_those_of_lfads(reconstruction, random):
    settings = {"reconstruction": reconstruction, "dropout": 0.3, "loss_scale": 10.0}
    lfads, shape = built(LFADSConfig(**SMALL, **settings))
    model, _ = built(band(BehaviorConfig("lag_limited", weight=0.7, dropout=0.4), **settings))
    batch = batch_of(random, shape)
    expected = lfads.losses(batch, draw, n_time=BINS, epoch=3)
    terms = model.losses(batch, draw, n_time=BINS, epoch=3)
    assert terms.pop("behavior") > 0
    assert terms.keys() == expected.keys()
    for name, term in terms.items():
        torch.testing.assert_close(term, expected[name], rtol=0, atol=0)


@pytest.mark.parametrize("reconstruction", ["sum", "published_mean"])
def test_the_term_is_the_weighted_squared_error_on_the_reconstructions_scale(reconstruction, random):
    config = band(BehaviorConfig("per_bin", weight=0.7), reconstruction=reconstruction)
    model, shape = built(config)
    batch = batch_of(random, shape, lengths=[7, 7, 4, 7, 2])
    term = model.losses(batch, draw, n_time=5, epoch=0)["behavior"]
    seen, _ = model.session.shown(batch, draw)
    factors = model._run(model.session.read(seen), Trials.of([batch]), 5, draw).decoded.factors
    decoded = model.session.behavior(factors, batch.lengths).detach().numpy()
    z = (decoded - batch.behavior[:, :5].numpy()) / np.array([0.5, 4.0])
    kept = np.isfinite(z) & (np.arange(5) < batch.lengths.numpy()[:, None])[..., None]
    squares = 0.7 * 0.5 * np.square(z[kept])
    expected = squares.sum() / (5 * 5 * NEURONS) if reconstruction == "sum" else squares.mean()
    np.testing.assert_allclose(term.item(), expected, rtol=1e-4)


@pytest.mark.parametrize("decoder", BEHAVIOR_DECODERS)
def test_padding_changes_no_term_and_no_prediction(decoder, random):
    model, shape = built(band(BehaviorConfig(decoder, future_bins=2)))
    batch = batch_of(random, shape, lengths=[7, 5, 3, 7, 1])
    behavior = batch.behavior.clone()
    for row, length in enumerate(batch.lengths.tolist()):
        behavior[row, length:] = 1e6
    other = replace(batch, behavior=behavior)
    one, two = (model.losses(b, draw, n_time=BINS, epoch=0)["behavior"] for b in (batch, other))
    torch.testing.assert_close(one, two, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["initial_condition", "controls"])
def test_a_target_draws_the_divergence_to_it_from_both_sides(name, random):
    batch = batch_of(random, shape_of())
    lfads, _ = built(LFADSConfig(**SMALL, kl=KLConfig(ramp=NOW)))
    term, nats = f"kl_{name}", 1.0 / (BINS * NEURONS)
    plain = lfads.losses(batch, draw, n_time=BINS, epoch=0)[term]
    per_trial = plain.item() / nats
    (gradient,) = torch.autograd.grad(plain, lfads.head.raw_bias, allow_unused=True)
    for target, sign in ((0.5 * per_trial, 1.0), (2.0 * per_trial, -1.0)):
        model, _ = built(LFADSConfig(**SMALL, kl=KLConfig(ramp=NOW, **{f"{name}_target": target})))
        found = model.losses(batch, draw, n_time=BINS, epoch=0)[term]
        np.testing.assert_allclose(found.item(), abs(per_trial - target) * nats, rtol=1e-4)
        (own,) = torch.autograd.grad(found, model.head.raw_bias, allow_unused=True)
        torch.testing.assert_close(own, sign * gradient, rtol=1e-5, atol=1e-9)


def metrics_of(folder) -> dict[str, list[float]]:
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def test_weight_zero_is_lfads(recording, small_fit, tmp_path):
    fit(recording, tmp_path / "lfads", model=LFADSConfig(**SMALL, dropout=0.1), training=small_fit)
    zero = band(BehaviorConfig(weight=0.0), dropout=0.1)
    fit(recording, tmp_path / "band", model=zero, training=small_fit)
    one, two = (signals_of(tmp_path / name / "inference.h5") for name in ("lfads", "band"))
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name])
    assert metrics_of(tmp_path / "lfads") == metrics_of(tmp_path / "band")


@pytest.mark.parametrize("decoder", BEHAVIOR_DECODERS)
def test_a_fit_is_scored_written_and_loaded_as_it_was(decoder, ragged, small_fit, tmp_path):
    """The toy's behaviour is two states of its system, without the first bin."""
    config = band(BehaviorConfig(decoder, weight=1.0, past_bins=2, dropout=0.1))
    fitted = fit(ragged, tmp_path / "run", model=config, training=replace(small_fit, max_epochs=1))
    with cc.open(fitted.path) as file, cc.open(ragged) as source:
        assert file.signals["behavior_prediction"].unit == source.signals["behavior"].unit == "cm"
        predicted, behavior = file.signals["behavior_prediction"][:], source.signals["behavior"][:]
        kept, valid = source.valid_bins(), source.split("valid")
    assert not predicted[~kept].any()
    measured = np.isfinite(behavior) & kept[..., None] & valid[:, None, None]
    scores = []
    for channel in range(behavior.shape[2]):
        true, own = (values[..., channel][measured[..., channel]] for values in (behavior, predicted))
        scores.append(1 - np.square(true - own).sum() / np.square(true - true.mean()).sum())
    np.testing.assert_allclose(
        metrics_of(tmp_path / "run")["valid/behavior_r2"], [np.mean(scores)], rtol=1e-3
    )
    predict(tmp_path / "run", ragged, tmp_path / "again.h5", accelerator="cpu")
    assert digest_of(tmp_path / "again.h5") == digest_of(fitted.path)


def test_behavior_is_learned(small_fit, tmp_path):
    path = make_recording(tmp_path / "fast.h5", n_trials=100, n_time=20, n_neurons=12, mean_rate_hz=100.0)
    config = band(
        BehaviorConfig("per_bin", weight=10.0), size=16, factors=6, kl=KLConfig(ramp=RampConfig(0, 5))
    )
    settings = replace(small_fit, max_epochs=15, learning_rate=2e-2)
    fit(path, tmp_path / "run", model=config, training=settings)
    metrics = metrics_of(tmp_path / "run")
    assert metrics["valid/behavior_r2"][-1] > 0.4


def test_a_new_recording_needs_no_behavior(recording, small_fit, tmp_path):
    config = band(BehaviorConfig("per_bin"))
    fit(recording, tmp_path / "run", model=config, training=replace(small_fit, max_epochs=1))
    new = make_recording(tmp_path / "new.h5", n_trials=5, n_time=15, n_regions=2, seed=4, behavior=False)
    predict(tmp_path / "run", new, tmp_path / "out.h5", accelerator="cpu")
    with cc.open(tmp_path / "out.h5") as file:
        assert file.signals["behavior_prediction"].shape == (5, 15, 2)
        assert file.signals["behavior_prediction"].unit == "cm"


def test_a_recording_without_behavior_is_refused(small_fit, tmp_path):
    path = make_recording(tmp_path / "none.h5", n_trials=20, behavior=False)
    with pytest.raises(InputError, match=r"no signal behavior .* model=lfads predicts none"):
        fit(path, tmp_path / "run", model=band(BehaviorConfig()), training=small_fit)
    fit(
        path,
        tmp_path / "lfads",
        model=band(BehaviorConfig(weight=0.0)),
        training=replace(small_fit, max_epochs=1),
    )


def test_each_recording_has_a_decoder_of_its_own(small_fit, tmp_path):
    paths = [
        make_recording(tmp_path / f"day{n}.h5", name=f"day{n}", n_trials=30, n_time=10, seed=n)
        for n in (0, 1)
    ]
    config = band(BehaviorConfig("per_bin", weight=1.0))
    fitted = fit(paths, tmp_path / "run", model=config, training=replace(small_fit, max_epochs=2))
    metrics = metrics_of(tmp_path / "run")
    own = [np.array(metrics[f"valid/behavior_r2/day{n}"]) for n in (0, 1)]
    np.testing.assert_allclose(metrics["valid/behavior_r2"], np.mean(own, axis=0), rtol=1e-4)
    first, second = (parts.behavior for parts in load_model(tmp_path / "run").model.all_parts)
    assert not torch.equal(first.center, second.center)
    assert not torch.equal(first.decoder.weights[0], second.decoder.weights[0])
    assert all("behavior_prediction" in signals_of(path) for path in fitted.paths)
