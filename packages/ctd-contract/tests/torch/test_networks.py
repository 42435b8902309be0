from itertools import pairwise

import numpy as np
import pytest
import torch

from ctd_contract.dynamics import RNN, Affine, OdeMLP, ResidualMLP
from ctd_contract.torch.sequences import affine, ode_mlp, residual_mlp, rnn

SIZE, INPUTS, HIDDEN = 4, 3, 7
SHAPES = [(1, 1), (5, 4), (40, 9)]


def replay(dynamics, state, inputs):
    """States of the contract's evaluator, bin by bin."""
    states, state = [], state.detach().cpu().numpy()
    for k in range(inputs.shape[1]):
        state = dynamics.step(state, inputs[:, k].detach().cpu().numpy())
        states.append(state)
    return np.stack(states, axis=1)


def arrays(tensors):
    return [tensor.detach().cpu().numpy() for tensor in tensors]


def layers(make, count, inputs=INPUTS):
    sizes = [SIZE + inputs, *[HIDDEN] * (count - 1), SIZE]
    weights = [make(high, low) for low, high in pairwise(sizes)]
    return weights, [make(size) for size in sizes[1:]]


@pytest.mark.parametrize(("trials", "bins"), SHAPES)
@pytest.mark.parametrize("alpha", [1.0, 0.2])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("place", [None, "state", "drive"])
def test_fast_rnn_is_plain(make, assert_twins, trials, bins, alpha, nonlinearity, place):
    inputs, initial, noise = make(trials, bins, INPUTS), make(trials, SIZE), make(trials, bins, SIZE)
    weights = make(SIZE, INPUTS), make(SIZE, SIZE, scale=0.4), make(SIZE)
    options = {"alpha": alpha, "nonlinearity": nonlinearity}
    options |= {"noise": noise, "noise_place": place} if place else {}

    def run(backend):
        return [rnn(inputs, initial, *weights, **options, backend=backend)]

    assert_twins(run, [inputs, initial, *weights, *([noise] if place else [])])


@pytest.mark.parametrize(("trials", "bins"), SHAPES)
@pytest.mark.parametrize("driven", [False, True])
def test_fast_affine_is_plain(make, assert_twins, trials, bins, driven):
    inputs, B = (make(trials, bins, INPUTS), make(SIZE, INPUTS)) if driven else (None, None)
    initial, A, c = make(trials, SIZE), make(SIZE, SIZE, scale=0.4), make(SIZE) if driven else None
    noise = make(trials, bins, SIZE)

    def run(backend):
        return [affine(inputs, initial, A, B, c, noise=noise, backend=backend)]

    assert_twins(run, [inputs, initial, A, B, c, noise])


@pytest.mark.parametrize(("trials", "bins"), SHAPES)
@pytest.mark.parametrize("activation", ["relu", "tanh", "softplus"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_fast_residual_mlp_is_plain(make, assert_twins, trials, bins, activation, count):
    inputs, initial, noise = make(trials, bins, INPUTS), make(trials, SIZE), make(trials, bins, SIZE)
    weights, biases = layers(make, count)

    def run(backend):
        options = {"delta": 0.1, "activation": activation, "noise": noise, "backend": backend}
        return [residual_mlp(inputs, initial, weights, biases, **options)]

    assert_twins(run, [inputs, initial, noise, *weights, *biases])


@pytest.mark.parametrize(("method", "substeps"), [("euler", 1), ("euler", 2), ("midpoint", 1), ("rk4", 2)])
@pytest.mark.parametrize("driven", [False, True])
def test_fast_ode_mlp_is_plain(make, assert_twins, method, substeps, driven):
    inputs, initial = make(5, 4, INPUTS) if driven else None, make(5, SIZE)
    weights, biases = layers(make, 3, INPUTS if driven else 0)

    def run(backend):
        options = {"dt": 0.1, "method": method, "substeps": substeps, "n_time": 4, "backend": backend}
        return [ode_mlp(inputs, initial, weights, biases, **options)]

    assert_twins(run, [inputs, initial, *weights, *biases])


@pytest.mark.parametrize("alpha", [1.0, 0.3])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_rnn_is_the_contract_network(make, alpha, nonlinearity):
    inputs, initial = make(5, 6, INPUTS), make(5, SIZE)
    weight_input, weight_state, bias = make(SIZE, INPUTS), make(SIZE, SIZE), make(SIZE)
    options = {"alpha": alpha, "nonlinearity": nonlinearity}
    states = rnn(inputs, initial, weight_input, weight_state, bias, **options)
    network = RNN(*arrays([weight_state, weight_input, bias]), **options)
    np.testing.assert_allclose(arrays([states])[0], replay(network, initial, inputs), rtol=1e-11, atol=1e-12)


def test_affine_is_the_contract_system(make):
    inputs, initial, parts = (
        make(5, 6, INPUTS),
        make(5, SIZE),
        (make(SIZE, SIZE), make(SIZE, INPUTS), make(SIZE)),
    )
    states = affine(inputs, initial, *parts)
    expected = replay(Affine(*arrays(parts)), initial, inputs)
    np.testing.assert_allclose(arrays([states])[0], expected, rtol=1e-11, atol=1e-11)


def test_residual_mlp_is_the_contract_map(make):
    inputs, initial, (weights, biases) = make(5, 6, INPUTS), make(5, SIZE), layers(make, 3)
    options = {"delta": 0.1, "activation": "relu"}
    states = residual_mlp(inputs, initial, weights, biases, **options)
    expected = replay(ResidualMLP(arrays(weights), arrays(biases), **options), initial, inputs)
    np.testing.assert_allclose(arrays([states])[0], expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("method", ["euler", "midpoint", "rk4"])
def test_ode_mlp_is_the_contract_map(make, method):
    inputs, initial, (weights, biases) = make(5, 6, INPUTS), make(5, SIZE), layers(make, 2)
    options = {"dt": 0.2, "method": method, "substeps": 2, "activation": "tanh"}
    states = ode_mlp(inputs, initial, weights, biases, **options)
    expected = replay(OdeMLP(arrays(weights), arrays(biases), **options), initial, inputs)
    np.testing.assert_allclose(arrays([states])[0], expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_integrators_converge_at_their_order(make, method, order):
    # dx/dt = A x has the solution expm(A t) x.
    matrix, initial = make(SIZE, SIZE, scale=0.5), make(3, SIZE)
    bias = torch.zeros(SIZE, dtype=matrix.dtype, device=matrix.device)
    exact = initial @ torch.linalg.matrix_exp(matrix).T
    errors = []
    for substeps in (8, 16):
        options = {"dt": 1.0, "method": method, "substeps": substeps, "n_time": 1}
        states = ode_mlp(None, initial, [matrix], [bias], **options)
        errors.append((states[:, 0] - exact).abs().max().item())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.3)


def test_gradients_are_those_of_finite_differences(make):
    inputs, initial, noise = make(2, 3, INPUTS), make(2, SIZE), make(2, 3, SIZE)
    weights, biases = layers(make, 3)
    assert torch.autograd.gradcheck(
        lambda x, h, n, U, W, b: rnn(x, h, U, W, b, alpha=0.3, noise=n, noise_place="drive"),
        (inputs, initial, noise, make(SIZE, INPUTS), make(SIZE, SIZE), make(SIZE)),
    )
    assert torch.autograd.gradcheck(
        lambda x, h, n, *rest: residual_mlp(x, h, rest[:3], rest[3:], delta=0.5, activation="tanh", noise=n),
        (inputs, initial, noise, *weights, *biases),
    )


def test_inputs_without_their_weights_are_refused(make):
    with pytest.raises(ValueError, match="B is None"):
        affine(make(2, 3, INPUTS), make(2, SIZE), make(SIZE, SIZE), None, None)
