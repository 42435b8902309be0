import numpy as np
import pytest
import torch

from ctd_contract.dynamics import GRU
from ctd_contract.torch.sequences import gru

SIZE, INPUTS = 6, 3


def parameters(make, *, inputs=True, biases=True):
    return (
        make(3 * SIZE, INPUTS) if inputs else None,
        make(3 * SIZE, SIZE),
        make(3 * SIZE) if biases else None,
        make(3 * SIZE) if biases else None,
    )


@pytest.mark.parametrize("reset", ["after", "before"])
@pytest.mark.parametrize("clip", [None, 0.6, 1.5])
@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize(("trials", "bins"), [(1, 1), (5, 4), (40, 9), (7, 3)])
def test_fast_is_plain(make, assert_twins, two_threads, loops, reset, clip, noisy, trials, bins):
    inputs, initial, weights = make(trials, bins, INPUTS), make(trials, SIZE, scale=2.0), parameters(make)
    noise = make(trials, bins, SIZE) if noisy else None

    def run(backend):
        return [gru(inputs, initial, *weights, reset=reset, clip=clip, noise=noise, backend=backend)]

    assert_twins(run, [inputs, initial, noise, *weights])


@pytest.mark.parametrize("reset", ["after", "before"])
@pytest.mark.parametrize("biases", [False, True])
def test_fast_is_plain_without_inputs(make, assert_twins, loops, reset, biases):
    initial, weights = make(20, SIZE), parameters(make, inputs=False, biases=biases)

    def run(backend):
        return [gru(None, initial, *weights, reset=reset, n_time=6, backend=backend)]

    assert_twins(run, [initial, *weights])


@pytest.mark.parametrize("reset", ["after", "before"])
def test_gradients_are_those_of_finite_differences(make, reset):
    tensors = (make(2, 3, INPUTS), make(2, SIZE), *parameters(make), make(2, 3, SIZE))

    def run(*tensors):
        return gru(*tensors[:-1], reset=reset, clip=1.5, noise=tensors[-1])

    assert torch.autograd.gradcheck(run, tensors)


def test_is_torch_own_unit(make, device):
    own = torch.nn.GRU(INPUTS, SIZE, batch_first=True).double().to(device)
    inputs, initial = make(4, 11, INPUTS), make(4, SIZE)
    expected, _ = own(inputs, initial[None])
    torch.testing.assert_close(gru(inputs, initial, *own.parameters()), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reset", ["after", "before"])
@pytest.mark.parametrize("clip", [None, 0.7])
def test_is_the_contract_unit(make, reset, clip):
    inputs, state, weights = make(5, 7, INPUTS), make(5, SIZE), parameters(make)
    states = gru(inputs, state, *weights, reset=reset, clip=clip).detach().cpu().numpy()
    unit = GRU(*(weight.detach().cpu().numpy() for weight in weights), reset=reset, clip=clip)
    expected = state.detach().cpu().numpy()
    for k in range(7):
        expected = unit.step(expected, inputs[:, k].detach().cpu().numpy())
        np.testing.assert_allclose(states[:, k], expected, rtol=1e-12, atol=1e-13)


def test_float32_follows_float64(make):
    inputs, initial, weights = make(30, 50, INPUTS), make(30, SIZE), parameters(make)
    exact = gru(inputs, initial, *weights)
    single = gru(inputs.float(), initial.float(), *(weight.float() for weight in weights))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=2e-5)


def test_without_gradients_the_states_are_the_same_bits(make):
    inputs, initial, weights = make(30, 9, INPUTS), make(30, SIZE), parameters(make)
    kept = gru(inputs, initial, *weights)
    with torch.no_grad():
        assert torch.equal(gru(inputs, initial, *weights), kept)


def test_blocks_and_threads_change_nothing_but_rounding(make, two_threads):
    inputs, initial, weights = make(300, 5, INPUTS), make(300, SIZE), parameters(make)
    together = gru(inputs, initial, *weights)
    apart = torch.cat([gru(inputs[k : k + 1], initial[k : k + 1], *weights) for k in range(0, 300, 37)])
    torch.testing.assert_close(together[::37], apart, rtol=1e-12, atol=1e-13)
    again = gru(inputs, initial, *weights)
    assert torch.equal(together, again)


def test_two_sequences_in_one_graph_do_not_share_memory(make, assert_twins):
    inputs, initial, weights = make(40, 6, INPUTS), make(40, SIZE), parameters(make)
    second = make(3 * SIZE, SIZE)

    def run(backend):
        first = gru(inputs, initial, *weights, backend=backend)
        return [gru(first, initial, second, *weights[1:], backend=backend), first]

    assert_twins(run, [inputs, initial, *weights, second])


def test_gradients_can_be_taken_twice(make):
    initial, weights = make(4, SIZE), parameters(make, inputs=False)
    total = gru(None, initial, *weights, n_time=5).square().sum()
    first = torch.autograd.grad(total, initial, retain_graph=True)[0]
    gru(None, make(4, SIZE), *weights, n_time=5).sum().backward()
    assert torch.equal(torch.autograd.grad(total, initial)[0], first)


def test_a_parameter_changed_before_backward_is_refused(make):
    initial, weights = make(4, SIZE), parameters(make, inputs=False)
    total = gru(None, initial, *weights, n_time=5).sum()
    with torch.no_grad():
        weights[1].add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()


def test_shapes_that_do_not_fit_are_refused(make):
    weights = parameters(make)
    with pytest.raises(ValueError, match=r"inputs are \(4, time, input\)"):
        gru(make(5, 2, INPUTS), make(4, SIZE), *weights)
    with pytest.raises(ValueError, match=r"noise is \(4, time, 6\)"):
        gru(make(4, 2, INPUTS), make(4, SIZE), *weights, noise=make(4, 2, SIZE + 1))
    with pytest.raises(ValueError, match="one number of bins"):
        gru(make(4, 2, INPUTS), make(4, SIZE), *weights, n_time=3)
    with pytest.raises(ValueError, match="reset is one of after, before"):
        gru(make(4, 2, INPUTS), make(4, SIZE), *weights, reset="between")


@pytest.mark.parametrize("reset", ["after", "before"])
def test_inputs_of_half_precision_are_read_as_they_are(make, loops, reset):
    inputs, initial, weights = make(4, 6, INPUTS), make(4, SIZE), parameters(make)
    half = inputs.detach().bfloat16().requires_grad_()
    found, expected = (
        gru(given, initial, *weights, reset=reset, clip=1.5)
        for given in (half, half.detach().to(initial.dtype))
    )
    assert torch.equal(found, expected)
    found.sum().backward()
    assert half.grad.dtype == torch.bfloat16
    assert half.grad.any()
