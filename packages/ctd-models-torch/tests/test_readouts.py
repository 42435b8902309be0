"""Readouts: portable forms, and the inverse of the flow."""

import numpy as np
import pytest
import torch
from toys import draw

from ctd_models_torch.losses import Gamma, Poisson, ZeroInflatedGamma
from ctd_models_torch.observations import portable
from ctd_models_torch.readouts import FlowReadout, LinearReadout, MLPReadout, OrthonormalReadout
from ctd_models_torch.readouts.flow import CONTRACTION


@pytest.fixture
def bias():
    return torch.linspace(-2.0, 1.0, 6)


@pytest.fixture
def states(random):
    return torch.from_numpy(random.standard_normal((4, 5, 3)))


def flow(bias, *, gain=1.0, **settings):
    """A flow with weights far from their initial size."""
    readout = FlowReadout(3, bias, hidden_size=16, generator=draw("readout"), **settings).double()
    with torch.no_grad():
        readout.weight_in *= gain
        readout.weight_out *= gain
        readout.bias_in += 0.5
    return readout


@pytest.mark.parametrize("activation", ["relu", "tanh", "softplus"])
def test_portable_forms_agree_with_the_modules(bias, states, activation):
    linear = LinearReadout(3, bias, generator=draw("readout"))
    mlp = MLPReadout(
        3, bias, hidden_size=7, hidden_layers=2, activation=activation, generator=draw("readout")
    )
    orthonormal = OrthonormalReadout(3, bias, generator=draw("readout"))
    for readout in (linear.double(), mlp.double(), orthonormal.double()):
        expected = 50.0 * readout(states).exp().detach().numpy()
        np.testing.assert_allclose(readout.portable("exp", 50.0).evaluate(states.numpy()), expected)


@pytest.mark.parametrize("gain", [1.0, 10.0])
def test_the_inverse_of_a_flow_gives_the_states_back(bias, states, gain):
    readout = flow(bias, gain=gain)
    found, left = readout.inverse(readout(states), tolerance=1e-12)
    torch.testing.assert_close(found, states, rtol=0, atol=1e-9)
    torch.testing.assert_close(left, torch.zeros(4, 5, 3, dtype=torch.float64), rtol=0, atol=1e-9)


def test_the_inverse_takes_any_prediction(bias, random):
    readout = flow(bias, gain=10.0)
    prediction = torch.from_numpy(random.standard_normal((8, 6)))
    state, rest = readout.inverse(prediction, tolerance=1e-12)
    values = torch.cat([state, rest], -1)
    scale = readout._scale()
    for _ in range(readout.steps):
        values = values + scale * readout._mlp(values)
    torch.testing.assert_close(values + readout.bias, prediction, rtol=0, atol=1e-9)


def test_a_reverse_euler_step_would_not_do(bias, states):
    readout = flow(bias, gain=10.0)
    values = readout(states) - readout.bias
    for _ in range(readout.steps):
        values = values - readout._scale() * readout._mlp(values)
    assert (values[..., :3] - states).abs().max() > 1e-3


def test_a_step_is_a_contraction_however_large_the_weights(bias, random):
    readout = flow(bias, gain=100.0)
    x, y = (torch.from_numpy(random.standard_normal((1000, 6)) * 1e-3) for _ in range(2))
    change = readout._scale() * (readout._mlp(x) - readout._mlp(y))
    assert (change.norm(dim=1) / (x - y).norm(dim=1)).max() <= CONTRACTION + 1e-9


def test_a_flow_is_opaque_and_needs_room(bias):
    assert flow(bias).portable("exp", 1.0).is_opaque
    with pytest.raises(ValueError, match="at most 6 states, got 7"):
        FlowReadout(7, bias, generator=draw("readout"))


def test_the_inverse_refuses_what_is_not_finite(bias):
    with pytest.raises(ArithmeticError, match="did not converge"):
        flow(bias).inverse(torch.full((1, 6), float("nan"), dtype=torch.float64))


def test_orthonormal_columns_stay_so_in_training(bias, states):
    readout = OrthonormalReadout(3, bias, generator=draw("readout")).double()
    optimizer = torch.optim.Adam(readout.parameters(), 0.1)
    for _ in range(20):
        optimizer.zero_grad()
        (readout(states) - states.sum()).square().mean().backward()
        optimizer.step()
    weight = readout.weight.detach()
    gram = weight.T @ weight
    torch.testing.assert_close(gram, gram[0, 0] * torch.eye(3, dtype=torch.float64))
    assert gram[0, 0].item() == pytest.approx(readout.log_gain.exp().item() ** 2)
    torch.testing.assert_close(
        torch.linalg.pinv(weight) @ (readout(states) - readout.bias)[0, 0].detach(), states[0, 0]
    )


def test_an_orthonormal_readout_without_room_is_refused(bias):
    with pytest.raises(ValueError, match="takes at most as many states or factors, got 7"):
        OrthonormalReadout(7, bias, generator=draw("readout"))


def test_of_several_numbers_the_portable_form_is_the_mean(states):
    readout = LinearReadout(3, torch.linspace(-1.0, 1.0, 6), generator=draw("readout")).double()
    found = portable(readout, Gamma(), 0.01).evaluate(states.numpy())
    np.testing.assert_allclose(found, Gamma().expected(readout(states)).detach().numpy())
    assert portable(readout, ZeroInflatedGamma(), 0.01).is_opaque
    assert portable(readout, Poisson(), 0.01).scale == 100.0
