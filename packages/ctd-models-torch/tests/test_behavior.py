"""Decoders of behaviour: what they compute, what they may read, and what a prediction costs."""

import numpy as np
import pytest
import torch

from ctd_contract.torch.random import generator
from ctd_models_torch.errors import InputError
from ctd_models_torch.lfads.behavior import BehaviorReadout
from ctd_models_torch.lfads.behavior_config import BEHAVIOR_DECODERS, BANDConfig, BehaviorConfig
from ctd_models_torch.lfads.behavior_decoders import AllLagsDecoder, WindowDecoder, make_decoder

BINS, FACTORS, CHANNELS = 7, 4, 2
CENTER, SCALE = torch.tensor([3.0, -10.0]), torch.tensor([0.5, 20.0])
SETTINGS = {name: BehaviorConfig(name, past_bins=2, future_bins=1) for name in BEHAVIOR_DECODERS}


def decoder_of(name: str):
    return make_decoder(SETTINGS[name], FACTORS, CHANNELS, BINS, generator(0, "decoder"))


def readout_of(name: str) -> BehaviorReadout:
    return BehaviorReadout(decoder_of(name), CENTER, SCALE, BehaviorConfig(weight=1.0))


def factors_of(random, trials: int = 3, bins: int = BINS) -> torch.Tensor:
    return torch.from_numpy(random.standard_normal((trials, bins, FACTORS)).astype(np.float32))


def test_a_window_is_a_filter_over_the_lags(random):
    decoder, factors = decoder_of("lag_limited"), factors_of(random)
    with torch.no_grad():
        decoder.biases[0].copy_(torch.tensor([0.3, -0.7]))
    weight, bias = decoder.weights[0].detach().double().numpy(), decoder.biases[0].detach().double().numpy()
    expected = np.zeros((len(factors), BINS, CHANNELS))
    for trial, time, channel in np.ndindex(expected.shape):
        total = bias[channel]
        for lag in range(-1, 3):
            if 0 <= time - lag < BINS:
                total += weight[channel, :, 2 - lag] @ factors[trial, time - lag].double().numpy()
        expected[trial, time, channel] = total
    np.testing.assert_allclose(decoder(factors).detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_all_lags_is_one_matrix_over_the_trial(random):
    decoder, factors = decoder_of("all_lags"), factors_of(random)
    with torch.no_grad():
        decoder.bias.copy_(torch.from_numpy(random.standard_normal((BINS, CHANNELS))))
    expected = torch.einsum("tksf,nsf->ntk", decoder.weight, factors) + decoder.bias
    torch.testing.assert_close(decoder(factors), expected, rtol=1e-5, atol=1e-6)


def test_a_multilayer_perceptron_is_one_of_each_window(random):
    decoder, factors = decoder_of("mlp"), factors_of(random)
    first, last = decoder.weights
    padded = torch.nn.functional.pad(factors, (0, 0, 2, 1))
    for time in range(BINS):
        window = padded[:, time : time + 4].transpose(1, 2).flatten(1)
        hidden = torch.relu(window @ first.flatten(1).T + decoder.biases[0])
        expected = hidden @ last.T + decoder.biases[1]
        torch.testing.assert_close(decoder(factors)[:, time], expected, rtol=1e-5, atol=1e-6)


READ = {
    "all_lags": lambda out, into: np.ones_like(out, bool),
    "lag_limited": lambda out, into: (out - into <= 2) & (into - out <= 1),
    "per_bin": lambda out, into: out == into,
    "mlp": lambda out, into: (out - into <= 2) & (into - out <= 1),
}


@pytest.mark.parametrize("name", BEHAVIOR_DECODERS)
def test_a_decoder_reads_its_bins_alone(name, random):
    decoder, factors = decoder_of(name), factors_of(random).requires_grad_()
    read = np.zeros((BINS, BINS), bool)
    for time in range(BINS):
        (gradient,) = torch.autograd.grad(decoder(factors)[:, time].sum(), factors)
        read[time] = gradient.abs().sum((0, 2)).numpy() > 0
    np.testing.assert_array_equal(read, READ[name](*np.indices((BINS, BINS))))
    whole = decoder.past_bins is None
    assert whole == (name == "all_lags")


@pytest.mark.parametrize("name", BEHAVIOR_DECODERS)
def test_factors_of_the_padding_are_not_read(name, random):
    readout, factors, lengths = readout_of(name), factors_of(random), torch.tensor([7, 4, 1])
    other = factors.clone()
    other[1, 4:] = 1e3
    other[2, 1:] = torch.nan
    before, after = readout(factors, lengths), readout(other, lengths)
    torch.testing.assert_close(before, after, rtol=0, atol=0)


@pytest.mark.parametrize("name", BEHAVIOR_DECODERS)
def test_a_shorter_batch_is_one_of_trials_that_end_early(name, random):
    readout, factors = readout_of(name), factors_of(random)
    lengths = torch.full((3,), 5)
    whole = readout(factors, lengths)[:, :5]
    torch.testing.assert_close(readout(factors[:, :5], lengths), whole, rtol=1e-5, atol=1e-5)


def test_all_lags_refuses_longer_trials(random):
    with pytest.raises(InputError, match="trials of 7 bins and can't be given 8"):
        decoder_of("all_lags")(factors_of(random, bins=8))


def test_predictions_are_in_the_recordings_unit(random):
    """A decoder that is exact in units of the standard deviation costs nothing and gives the unit back."""
    decoder = WindowDecoder(CHANNELS, CHANNELS, generator=generator(0, "decoder"))
    with torch.no_grad():
        decoder.weights[0].copy_(torch.eye(CHANNELS)[..., None])
    readout = BehaviorReadout(decoder, CENTER, SCALE, BehaviorConfig(weight=3.0))
    behavior = torch.from_numpy(random.standard_normal((3, BINS, CHANNELS)).astype(np.float32)) * SCALE
    lengths = torch.full((3,), BINS)
    factors = (behavior - CENTER) / SCALE
    torch.testing.assert_close(readout(factors, lengths), behavior, rtol=1e-5, atol=1e-5)
    costs, _ = readout.costs(factors, lengths, behavior, None)
    assert costs.abs().max() < 1e-9
    costs, _ = readout.costs(factors + 1.0, lengths, behavior, None)
    torch.testing.assert_close(costs, torch.full_like(costs, 1.5), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BEHAVIOR_DECODERS)
def test_what_is_not_measured_costs_nothing_and_teaches_nothing(name, random):
    readout, lengths = readout_of(name), torch.tensor([7, 5, 7])
    behavior = torch.from_numpy(random.standard_normal((3, BINS, CHANNELS)).astype(np.float32))
    behavior[0, 2, 1] = torch.nan
    behavior[2] = torch.nan
    factors = factors_of(random).requires_grad_()
    costs, measured = readout.costs(factors, lengths, behavior, None)
    assert measured.sum() == 2 * (7 + 5) - 1
    assert not measured[1, 5:].any()
    loss = torch.where(measured, costs, 0.0).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert factors.grad is not None
    assert torch.isfinite(factors.grad).all()
    assert (factors.grad[2] == 0).all()
    assert (factors.grad[1, 5:] == 0).all()
    assert all(torch.isfinite(p.grad).all() for p in readout.parameters() if p.grad is not None)


def test_dropout_is_the_training_steps_alone_and_unbiased(random):
    decoder = AllLagsDecoder(FACTORS, CHANNELS, BINS, generator=generator(0, "decoder"))
    readout = BehaviorReadout(decoder, torch.zeros(2), torch.ones(2), BehaviorConfig(dropout=0.5))
    factors, lengths = factors_of(random, trials=1), torch.tensor([BINS])
    undropped = readout(factors, lengths)
    many, stream = factors.expand(4000, -1, -1), generator(0, "dropout")
    decoded = readout._decoded(many, lengths.expand(4000), stream)
    assert decoded.std(0).min() > 0
    torch.testing.assert_close(decoded.mean(0, keepdim=True), undropped, rtol=0, atol=0.1)
    torch.testing.assert_close(readout(factors, lengths), undropped, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"decoder": "kalman"}, "behavior.decoder is one of all_lags, lag_limited, per_bin, mlp, got kalman"),
        ({"weight": -1.0}, "behavior.weight is at least 0"),
        ({"dropout": 1.0}, "behavior.dropout is in"),
        ({"past_bins": -1}, "behavior.past_bins is at least 0"),
        ({"future_bins": -1}, "behavior.future_bins is at least 0"),
        ({"hidden_layers": -1}, "hidden_layers is at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        BehaviorConfig(**settings)


def test_band_has_the_settings_of_lfads_and_its_own():
    assert BANDConfig(behavior=BehaviorConfig("per_bin")).behavior.decoder == "per_bin"
    assert BANDConfig().controller.exists is False
