"""Poisson's loss in one pass is the sum of what `Poisson.nll` gives each entry."""

import pytest
import torch

from ctd_contract.torch.random import generator
from ctd_models_torch.losses import Observation, Poisson


def arrays(largest=3.0, trials=37):
    stream = generator(0, "poisson")
    shape = (trials, 30, 60)
    prediction = torch.rand(shape, generator=stream, dtype=torch.float64) * (largest + 4.0) - 4.0
    data = torch.poisson(torch.full(shape, 0.5, dtype=torch.float64), generator=stream)
    weight = torch.rand(shape, generator=stream, dtype=torch.float64)
    scored = torch.rand((trials, 30, 1), generator=stream) < 0.7
    return prediction, data, weight, scored


@pytest.mark.parametrize("largest", [3.0, 20.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("partly", [False, True])
def test_sum_and_gradient(largest, weighted, partly):
    prediction, data, weight, scored = arrays(largest)
    # As the loop over the scored length cuts them: not one piece of memory.
    parts = data[:, :25], scored[:, :25] if partly else None, weight[:, :25] if weighted else None
    found = []
    for total in (Poisson().total, lambda *given: Observation.total(Poisson(), *given)):
        x = prediction[:, :25].clone().requires_grad_()
        value = total(x, *parts)
        (3.0 * value).backward()
        found.append((value, x.grad))
    (fast, fast_grad), (slow, slow_grad) = found
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(fast_grad, slow_grad, rtol=1e-12, atol=1e-12)


def test_the_number_of_threads_hardly_matters():
    prediction, data, weight, _ = arrays(trials=200)  # several pieces
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        x = prediction.float().requires_grad_()
        found.append(Poisson().total(x, data.float(), None, weight.float()))
    torch.set_num_threads(before)
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=0.0)
    torch.testing.assert_close(found[2], found[0], rtol=1e-6, atol=0.0)


def test_no_trials_and_a_model_that_is_not_trained():
    prediction, data, *_ = arrays()
    x = prediction[:0].requires_grad_()
    assert Poisson().total(x, data[:0], None, None) == 0
    expected = Poisson().nll(prediction, data).sum()
    torch.testing.assert_close(Poisson().total(prediction, data, None, None), expected)
