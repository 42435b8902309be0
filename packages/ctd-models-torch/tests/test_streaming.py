"""Inference bin by bin gives what inference of whole trials does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import batch_of, shape_of, signals_of, small_config

import ctd_contract as cc
from ctd_contract.testing import make_recording
from ctd_models_torch.build import build_model
from ctd_models_torch.config import FitConfig, LinearReadoutConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.fitting import fit
from ctd_models_torch.lfads.behavior_config import BANDConfig, BehaviorConfig
from ctd_models_torch.lfads.config import ControllerConfig, GeneratorConfig, InitialEncoderConfig, LFADSConfig
from ctd_models_torch.recording import Statistics
from ctd_models_torch.shape import Shape
from ctd_models_torch.streaming import Stream

BINS, NEURONS = 9, 6


def config_of(kind=LFADSConfig, *, lag=1, bins=3, controls=2, causal=True, **settings) -> LFADSConfig:
    return kind(
        size=5,
        factors=3,
        initial_condition=4,
        encoder=InitialEncoderConfig(size=4, bins=bins),
        controller=ControllerConfig(size=4, controls=controls, encoder_size=3, lag=lag, causal=causal),
        **settings,
    )


def windowed(name):
    config = small_config(name)
    config.encoder.window = 3
    return config


FORMS = {
    "lag 0": config_of(lag=0),
    "lag 1": config_of(lag=1),
    "lag 3": config_of(lag=3, bins=1),
    "torch's reset": config_of(generator=GeneratorConfig(reset="after")),
    "node": config_of(generator=GeneratorConfig("node", hidden_size=6)),
    "no controller": config_of(controls=0),
    "gru": windowed("gru"),
    "lds": windowed("lds"),
}


def built(config, shape: Shape):
    random = np.random.default_rng(5)
    count = len(shape.neurons)
    behavior = np.array([1.0, -2.0]), np.array([0.5, 4.0])
    known = Statistics(
        random.uniform(0.5, 2, count), random.uniform(0.5, 2, count), np.zeros(count), behavior
    )
    return build_model(config, LinearReadoutConfig(), shape, known)


def whole_shape(*, window=None, forward=(), **options) -> Shape:
    shape = shape_of(neurons=NEURONS, bins=BINS, **options)
    seen = [index for index in range(BINS) if index not in forward][:window]
    return replace(shape, seen_bins=seen)


def streamed(stream: Stream, batch, *, forward=()) -> dict[str, np.ndarray]:
    """Everything that a stream tells of a batch, bin after bin."""
    stream.start(len(batch))
    parts: list[dict[str, np.ndarray]] = []
    data = torch.where(batch.scored, batch.data, torch.nan)
    for index in range(batch.n_time):
        inputs = None if batch.inputs is None else batch.inputs[:, index]
        rates = stream.push(None if index in forward else data[:, index], inputs)
        if rates.shape[1]:
            assert rates is stream.latest["rates"]
            parts.append(stream.latest)
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}


def agree(found, model, batch):
    with torch.no_grad():
        inferred = model.infer(batch)
        rates = model.observation.expected(inferred.prediction) / 0.01
    expected = {"rates": rates, "states": inferred.states, **inferred.signals}
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name].numpy(), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("form", FORMS)
def test_bin_by_bin_is_the_whole_trial(form, random):
    config = FORMS[form]
    shape = whole_shape(window=config.window)
    model, batch = built(config, shape), batch_of(random, shape, bins=BINS)
    found = streamed(Stream(model, shape), batch)
    assert found["rates"].shape == (5, BINS, NEURONS)
    agree(found, model, batch)


def test_bins_and_neurons_that_are_not_observed_are_passed_over(random):
    forward = (0, 4, 7, 8)
    shape, observed = whole_shape(forward=forward), random.random((5, BINS, NEURONS)) < 0.7
    model, batch = built(config_of(), shape), batch_of(random, shape, bins=BINS, observed=observed)
    agree(streamed(Stream(model, shape), batch, forward=forward), model, batch)


def test_a_model_without_known_inputs(random):
    shape = whole_shape(inputs=0)
    model, batch = built(config_of(), shape), batch_of(random, shape, bins=BINS)
    agree(streamed(Stream(model, shape), batch), model, batch)


@pytest.mark.parametrize("decoder", ["per_bin", "lag_limited", "mlp"])
def test_behavior_is_decoded_as_trials_run(decoder, random):
    config = config_of(BANDConfig, behavior=BehaviorConfig(decoder, past_bins=4))
    shape = whole_shape()
    model, batch = built(config, shape), batch_of(random, shape, bins=BINS)
    found = streamed(Stream(model, shape), batch)
    assert "behavior_prediction" in found
    agree(found, model, batch)


@pytest.mark.parametrize("behavior", [BehaviorConfig("all_lags"), BehaviorConfig("mlp", future_bins=1)])
def test_a_decoder_of_later_bins_is_left_out(behavior, random):
    shape = whole_shape()
    model, batch = built(config_of(BANDConfig, behavior=behavior), shape), batch_of(random, shape, bins=BINS)
    assert "behavior_prediction" not in streamed(Stream(model, shape), batch)


def test_nothing_of_an_earlier_trial_remains(random):
    shape = whole_shape()
    model = built(config_of(), shape)
    stream, batches = Stream(model, shape), [batch_of(random, shape, bins=BINS) for _ in range(2)]
    streamed(stream, batches[0])
    stream.start(1)
    stream.push(np.ones((1, NEURONS)), np.ones((1, 2)))
    agree(streamed(stream, batches[1]), model, batches[1])


def test_a_bin_is_known_with_its_own_push(random):
    """Nothing is known before the segment's last bin, and from then on every push tells its own bin."""
    shape = whole_shape()
    stream = Stream(built(config_of(bins=3), shape), shape)
    stream.start(2)
    counts = [stream.push(np.zeros((2, NEURONS)), np.zeros((2, 2))).shape[1] for _ in range(BINS)]
    assert counts == [0, 0, 3, 1, 1, 1, 1, 1, 1]


def test_what_is_carried_on_does_not_grow(random):
    shape = whole_shape()
    stream = Stream(built(config_of(lag=2), shape), shape)
    sizes = []
    for _ in range(40):
        stream.push(random.poisson(1.0, (1, NEURONS)), np.zeros((1, 2)))
        course = stream._course
        kept = [course.state, course.encoder_state, course.control_state, course.factors, *course.delayed]
        sizes.append(sum(tensor.numel() for tensor in kept if tensor is not None))
    assert len(set(sizes[3:])) == 1
    assert not stream._waiting
    assert not stream._segment


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """BAND of two recordings that can be streamed, and the recordings."""
    folder = tmp_path_factory.mktemp("fitted")
    paths = [
        make_recording(folder / f"day{n}.h5", name=f"day{n}", n_trials=20, n_time=12, seed=n) for n in (0, 1)
    ]
    config = config_of(BANDConfig, behavior=BehaviorConfig("lag_limited", past_bins=2))
    settings = FitConfig(max_epochs=1, batch_size=10, accelerator="cpu", tensorboard=False)
    return fit(paths, folder / "run", model=config, training=settings), paths


def test_a_fitted_model_gives_the_rates_of_its_inference_file(fitted):
    result, paths = fitted
    for path, inference in zip(paths, result.paths, strict=True):
        with cc.open(path) as file:
            spikes, inputs, name = file.signals["spikes"][:], file.signals["inputs"][:], file.name
        expected = signals_of(inference)
        stream = Stream.open(path.parent / "run", session=name)
        stream.start(len(spikes))
        rates = [stream.push(spikes[:, index], inputs[:, index]) for index in range(12)]
        np.testing.assert_allclose(np.concatenate(rates, axis=1), expected["rates"], rtol=1e-4)
        last = expected["behavior_prediction"][:, -1:]
        np.testing.assert_allclose(stream.latest["behavior_prediction"], last, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("session", [None, "day7"])
def test_the_session_must_be_named(session, fitted):
    with pytest.raises(InputError, match="name of a recording of the fit, one of day0, day1"):
        Stream.open(fitted[1][0].parent / "run", session=session)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (config_of(causal=False), r"its controller also reads later bins \(set model.controller.causal=true"),
        (config_of(bins=None), r"inferred from all bins of a trial \(set model.encoder.bins\)"),
        (
            config_of(bins=None, causal=False),
            r"model.encoder.bins\) and its controller also reads",
        ),
        (config_of(bins=None, controls=0), r"\(set model.encoder.bins\)"),
        (small_config("gru"), r"reads all bins of a trial \(set model.encoder.window\)"),
        (small_config("mr_lfads"), "a MRLFADS can't be run while trials are running"),
    ],
)
def test_a_model_that_reads_later_bins_is_refused(config, sentence):
    shape = whole_shape()
    with pytest.raises(InputError, match=sentence):
        Stream(built(config, shape), shape)


@pytest.mark.parametrize(
    ("observed", "inputs", "sentence"),
    [
        (
            np.zeros((1, 5)),
            np.zeros((1, 2)),
            r"bin are \(1, 6\), trials and neurons, got \(1, 5\)",
        ),
        (np.zeros((2, 6)), np.zeros((1, 2)), r"observed of a bin are \(1, 6\)"),
        (np.zeros((1, 6)), np.zeros((1, 3)), r"inputs of a bin are \(1, 2\), trials and input channels"),
        (np.zeros((1, 6)), None, "the model takes 2 known inputs in every bin, got none"),
    ],
)
def test_a_bin_of_another_shape_is_refused(observed, inputs, sentence):
    shape = whole_shape()
    stream = Stream(built(config_of(), shape), shape)
    with pytest.raises(InputError, match=sentence):
        stream.push(observed, inputs)
    with pytest.raises(InputError, match="trials is at least 1, got 0"):
        stream.start(0)
