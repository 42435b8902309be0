"""Losses against numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch

from ctd_models_torch.errors import InputError
from ctd_models_torch.losses import (
    LINEAR_ABOVE,
    Gamma,
    Gaussian,
    Poisson,
    SquaredError,
    VaryingGaussian,
    ZeroInflatedGamma,
    masked_mean,
)
from ctd_models_torch.observations import OBSERVATIONS, make_observation
from ctd_models_torch.recording import Statistics


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


def test_poisson_goes_on_in_a_straight_line():
    log_count = torch.tensor([LINEAR_ABOVE - 1e-4, LINEAR_ABOVE + 1e-4, 50.0, 1e6], requires_grad=True)
    nll = Poisson().nll(log_count, torch.tensor(3.0))
    (gradient,) = torch.autograd.grad(nll.sum(), log_count)
    assert torch.isfinite(nll).all()
    torch.testing.assert_close(nll[0], nll[1], rtol=1e-3, atol=0)
    torch.testing.assert_close(gradient[0], gradient[1], rtol=1e-3, atol=0)
    assert (gradient > 0).all(), "it must point back"
    rate = Poisson().expected(log_count.detach())
    torch.testing.assert_close(rate[2], torch.tensor(math.exp(LINEAR_ABOVE) * (51.0 - LINEAR_ABOVE)))


def test_varying_gaussian_agrees_with_the_normal_density():
    prediction = torch.tensor([[[1.0, -2.0, math.log(0.25), math.log(9.0)]]])
    data = torch.tensor([[[0.3, 4.0]]])
    theirs = torch.distributions.Normal(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0]))
    torch.testing.assert_close(VaryingGaussian().nll(prediction, data), -theirs.log_prob(data))
    assert VaryingGaussian().expected(prediction).tolist() == [[[1.0, -2.0]]]


def test_squared_error_is_one():
    found = SquaredError().nll(torch.tensor([[[1.0]]]), torch.tensor([[[3.0]]]))
    assert found.item() == 4.0


def test_gamma_agrees_with_torchs_density_and_has_the_mean_it_says():
    mean, shape = torch.tensor([2.0, 0.5]), torch.tensor([3.0, 0.7])
    data = torch.tensor([[[1.3, 0.2]]])
    prediction = torch.cat([mean, shape]).log()[None, None]
    theirs = torch.distributions.Gamma(shape, shape / mean)
    torch.testing.assert_close(Gamma().nll(prediction, data), -theirs.log_prob(data))
    torch.testing.assert_close(Gamma().expected(prediction)[0, 0], theirs.mean)


def test_zero_inflated_gamma_is_a_mixture():
    prediction = torch.tensor([math.log(2.0), math.log(3.0), 0.4], requires_grad=True)
    q = torch.sigmoid(torch.tensor(0.4))
    theirs = torch.distributions.Gamma(3.0, 1.5)
    nll = ZeroInflatedGamma().nll(prediction.expand(1, 2, 3), torch.tensor([[[0.0], [1.3]]]))
    expected = torch.stack([-(1 - q).log(), -q.log() - theirs.log_prob(torch.tensor(1.3))])
    torch.testing.assert_close(nll[0, :, 0], expected)
    (gradient,) = torch.autograd.grad(nll[0, 0, 0], prediction)
    assert gradient[:2].tolist() == [0.0, 0.0]
    assert ZeroInflatedGamma().expected(prediction).item() == pytest.approx(q.item() * 2.0)


@pytest.mark.parametrize("name", OBSERVATIONS["activity"])
def test_predictions_start_at_the_mean(name):
    mean = np.array([2.0, 0.5])
    observation, start = make_observation(name, "activity", Statistics(mean, 0.3 * mean, 0.1 * mean))
    np.testing.assert_allclose(observation.expected(start).detach(), mean, rtol=1e-5)


@pytest.mark.parametrize("name", OBSERVATIONS["activity"])
def test_no_prediction_gives_an_infinite_loss(name):
    observation, start = make_observation(name, "activity", Statistics.neutral(1))
    for size in (-1e6, 1e6):
        prediction = torch.full((1, 1, len(start)), size, requires_grad=True)
        nll = observation.nll(prediction, torch.full((1, 1, 1), 2.0))
        nll.sum().backward()
        assert torch.isfinite(nll).all()
        assert torch.isfinite(prediction.grad).all()


def test_observations_that_do_not_suit_are_refused():
    ones = np.ones(2)
    with pytest.raises(InputError, match=r"positive activity, and the least value .* is 0"):
        make_observation("gamma", "activity", Statistics(ones, ones, 0 * ones))
    with pytest.raises(InputError, match=r"non-negative activity, and the least value .* is -1"):
        make_observation("zero_inflated_gamma", "activity", Statistics(ones, ones, -ones))
    with pytest.raises(
        InputError, match="doesn't suit a recording of activity: take auto or one of gaussian"
    ):
        make_observation("poisson", "activity", Statistics(ones, ones, ones))


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
