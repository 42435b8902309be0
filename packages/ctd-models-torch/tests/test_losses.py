"""Losses against numbers worked out by hand."""

import math

import pytest
import torch

from ctd_models_torch.losses import Gaussian, Poisson, masked_mean


def test_poisson_is_rate_minus_count_times_log_rate():
    log_count = torch.tensor([[[math.log(2.0), 0.0]]])
    data = torch.tensor([[[3.0, 0.0]]])
    expected = torch.tensor([[[2.0 - 3.0 * math.log(2.0), 1.0]]])
    torch.testing.assert_close(Poisson().nll(log_count, data), expected)


def test_poisson_is_least_at_the_count_itself():
    data = torch.tensor(4.0)
    log_count = torch.tensor(math.log(4.0), requires_grad=True)
    Poisson().nll(log_count, data).backward()
    assert log_count.grad.item() == pytest.approx(0.0, abs=1e-6)


def test_gaussian_agrees_with_the_normal_density():
    torch_normal = torch.distributions.Normal(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0]))
    data = torch.tensor([[[0.3, 4.0]]])
    nll = Gaussian(torch_normal.variance).nll(torch_normal.mean, data)
    torch.testing.assert_close(nll, -torch_normal.log_prob(data))


def test_gaussian_variance_is_learned():
    observation = Gaussian(torch.ones(1))
    optimizer = torch.optim.SGD(observation.parameters(), 0.1)
    data = torch.tensor([[[2.0], [-2.0]]])
    for _ in range(400):
        optimizer.zero_grad()
        observation.nll(torch.zeros(1), data).mean().backward()
        optimizer.step()
    assert observation.log_variance.exp().item() == pytest.approx(4.0, rel=1e-3)


def test_masked_mean_counts_what_is_scored():
    values = torch.tensor([[[1.0, 2.0], [30.0, 40.0]]])
    scored = torch.tensor([[[True, True], [False, True]]])
    assert masked_mean(values, scored).item() == pytest.approx((1 + 2 + 40) / 3)


def test_a_weight_scales_the_sum_and_not_the_count():
    values = torch.tensor([[[1.0, 2.0, 4.0]]])
    weight = torch.tensor([[[0.0, 2.0, 1.0]]])
    assert masked_mean(values, torch.tensor(True), weight).item() == pytest.approx((0 + 4 + 4) / 3)


def test_nan_outside_the_mask_reaches_neither_value_nor_gradient():
    values = torch.tensor([[[1.0, math.nan]]], requires_grad=True)
    mean = masked_mean(values, torch.tensor([[[True, False]]]))
    mean.backward()
    assert mean.item() == 1.0
    torch.testing.assert_close(values.grad, torch.tensor([[[1.0, 0.0]]]))


def test_nothing_scored_is_zero():
    assert masked_mean(torch.ones(1, 2, 3), torch.tensor(False)).item() == 0.0
