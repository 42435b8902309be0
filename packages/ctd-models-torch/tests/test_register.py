"""A decoder from outside the package is fitted, saved and loaded like one of its own."""

from dataclasses import dataclass, replace

import pytest
import torch

import ctd_contract as cc
from ctd_contract.dynamics import RNN
from ctd_contract.torch.sequences import rnn
from ctd_models_torch import AutoencoderConfig, Decoder, InputError, fit, load_model, register
from ctd_models_torch.autoencoder.build import DECODERS
from ctd_models_torch.build import BUILDERS
from ctd_models_torch.config import EncoderConfig
from ctd_models_torch.decoders.base import array
from ctd_models_torch.registry import MODELS, TRAININGS


class LeakyDecoder(Decoder):
    def __init__(self, state_size, input_size, *, alpha, generator):
        super().__init__(state_size, input_size)
        self.alpha = alpha
        shapes = (state_size, input_size), (state_size, state_size), (state_size,)
        self.weights = torch.nn.ParameterList(
            torch.empty(shape).uniform_(-0.5, 0.5, generator=generator) for shape in shapes
        )

    def forward(self, inputs, initial_state, n_time):
        return rnn(inputs, initial_state, *self.weights, alpha=self.alpha, n_time=n_time)

    def dynamics(self, signals):
        weight_input, weight_state, bias = map(array, self.weights)
        return RNN(weight_state, weight_input, bias, alpha=self.alpha, nonlinearity="tanh", inputs=signals)


@dataclass
class LeakyConfig(AutoencoderConfig):
    alpha: float = 0.2


@pytest.fixture
def leaky():
    register("leaky", LeakyConfig, LeakyDecoder)
    yield LeakyConfig(size=4, encoder=EncoderConfig(size=5), alpha=0.3)
    registries = (MODELS, "leaky"), (TRAININGS, "leaky"), (DECODERS, LeakyConfig), (BUILDERS, LeakyConfig)
    for registry, key in registries:
        del registry[key]


def test_own_decoders_go_all_the_way(leaky, recording, small_fit, tmp_path, monkeypatch):
    fitted = fit(recording, tmp_path, model=leaky, training=replace(small_fit, max_epochs=1))
    with cc.open(fitted.path) as file:
        dynamics = file.dynamics()
    assert dynamics.kind == "rnn"
    assert load_model(tmp_path).model.decoder.alpha == 0.3
    monkeypatch.delitem(MODELS, "leaky")
    with pytest.raises(InputError, match="a model 'leaky', which is not registered here"):
        load_model(tmp_path)


def test_a_name_is_taken_once(leaky):
    with pytest.raises(InputError, match="there is a model 'gru' already"):
        register("gru", LeakyConfig, LeakyDecoder)
