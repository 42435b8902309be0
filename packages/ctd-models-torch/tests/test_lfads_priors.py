"""Divergences against closed forms in another shape, grids and Monte Carlo."""

import math

import numpy as np
import pytest
import torch
from toys import draw

from ctd_models_torch.lfads.config import PriorConfig
from ctd_models_torch.lfads.posterior import LOG_VARIANCE_BOUND, Normal, NormalHead
from ctd_models_torch.lfads.priors import make_prior

TRIALS, TIME, SIZE = 3, 6, 2


@pytest.fixture
def posterior(random):
    mean, log_variance = random.standard_normal((2, TRIALS, TIME, SIZE))
    return Normal(torch.from_numpy(mean), torch.from_numpy(0.5 * log_variance - 1.0))


def repeated(posterior: Normal, times: int) -> Normal:
    return Normal(posterior.mean.repeat(times, 1, 1), posterior.log_variance.repeat(times, 1, 1))


def prior_of(kind, **settings):
    return make_prior(PriorConfig(kind, **settings), SIZE).double()


def full_normal_kl(mean, variance, covariance):
    """KL of N(mean, diag variance) from N(0, covariance)."""
    inverse = np.linalg.inv(covariance)
    log_ratio = np.linalg.slogdet(covariance)[1] - np.log(variance).sum()
    return 0.5 * (np.trace(inverse * variance) + mean @ inverse @ mean - len(mean) + log_ratio)


def test_normal_is_torchs_own(posterior):
    prior = prior_of("normal", variance=0.3)
    with torch.no_grad():
        prior.mean.copy_(torch.tensor([0.5, -1.0]))
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(posterior.mean, posterior.std),
        torch.distributions.Normal(prior.mean, torch.tensor(0.3, dtype=torch.float64).sqrt()),
    )
    torch.testing.assert_close(prior.kl(posterior, None), theirs.sum((1, 2)))


def test_the_sum_over_time_is_the_default_and_the_published_mean_an_option(posterior):
    total = prior_of("normal").kl(posterior, None)
    torch.testing.assert_close(
        prior_of("normal", over_time="published_mean").kl(posterior, None), total / TIME
    )


def test_the_exact_autoregressive_divergence_is_that_of_the_joint_normal(posterior):
    prior = prior_of("autoregressive", time_constant=4.0, variance=0.2)
    alpha = math.exp(-1 / 4.0)
    lags = np.abs(np.subtract.outer(np.arange(TIME), np.arange(TIME)))
    covariance = 0.2 / (1 - alpha**2) * alpha**lags
    expected = [
        sum(
            full_normal_kl(
                posterior.mean[trial, :, d].numpy(), posterior.std[trial, :, d].numpy() ** 2, covariance
            )
            for d in range(SIZE)
        )
        for trial in range(TRIALS)
    ]
    np.testing.assert_allclose(prior.kl(posterior, None).detach(), expected, rtol=1e-6)


def test_the_sampled_autoregressive_divergence_is_unbiased(posterior):
    prior = prior_of("autoregressive", time_constant=4.0, variance=0.2)
    many = repeated(posterior, 20000)
    found = prior.kl(many, many.sample(draw("posterior"))).detach().reshape(-1, TRIALS)
    error = found.std(0) / math.sqrt(len(found))
    assert ((found.mean(0) - prior.kl(posterior, None).detach()).abs() < 4 * error).all()


def test_the_sampled_divergence_holds_where_later_posteriors_depend_on_earlier_samples():
    """q(u_1) = N(1, s²), q(u_2 | u_1) = N(b u_1, s²): the KL of the joint, which the exact form misses."""
    b, s, alpha, nu = 0.9, 0.5, math.exp(-1 / 3.0), 0.3
    prior = make_prior(PriorConfig("autoregressive", time_constant=3.0, variance=nu), 1).double()
    first = 1.0 + s * torch.randn(200_000, dtype=torch.float64, generator=draw("first"))
    mean = torch.stack([torch.ones_like(first), b * first], dim=1)[..., None]
    posterior = Normal(mean, torch.full_like(mean, 2 * math.log(s)))
    second = b * first + s * torch.randn(200_000, dtype=torch.float64, generator=draw("second"))
    sample = torch.stack([first, second], dim=1)[..., None]
    stationary = nu / (1 - alpha**2)
    of_first = 0.5 * (math.log(stationary / s**2) + (1 + s**2) / stationary - 1)
    of_second = 0.5 * (math.log(nu / s**2) + ((b - alpha) ** 2 * (1 + s**2) + s**2) / nu - 1)
    found = prior.kl(posterior, sample).detach()
    assert found.mean().item() == pytest.approx(of_first + of_second, abs=4 * found.std().item() / 447)
    assert abs(prior.kl(posterior, None).mean().item() - of_first - of_second) > 0.05


def test_student_t_is_at_its_location_and_agrees_with_a_grid(posterior):
    prior = prior_of("student_t", scale=0.4, degrees_of_freedom=3.0)
    assert prior.location.tolist() == [0.0, 0.0]
    theirs = torch.distributions.StudentT(3.0, prior.location, prior.log_scale.exp())
    torch.testing.assert_close(prior.log_density(posterior.mean), theirs.log_prob(posterior.mean))
    grid = torch.linspace(-12, 12, 20001, dtype=torch.float64)[:, None, None, None]
    normal = torch.distributions.Normal(posterior.mean, posterior.std)
    log_q = normal.log_prob(grid)
    by_grid = (log_q.exp() * (log_q - theirs.log_prob(grid))).sum(0) * (24 / 20000)
    torch.testing.assert_close(prior.kl(posterior, None), by_grid.sum((1, 2)), rtol=2e-3, atol=2e-3)


def test_the_sampled_student_t_divergence_is_unbiased(posterior):
    prior = prior_of("student_t", scale=0.4)
    many = repeated(posterior, 20000)
    found = prior.kl(many, many.sample(draw("posterior"))).detach().reshape(-1, TRIALS)
    error = found.std(0) / math.sqrt(len(found)) + 1e-3
    assert ((found.mean(0) - prior.kl(posterior, None).detach()).abs() < 4 * error).all()


@pytest.mark.parametrize("estimate", ["sample", "exact"])
@pytest.mark.parametrize("kind", ["normal", "autoregressive", "student_t"])
def test_every_prior_is_trained_and_no_padding_counts(kind, estimate, posterior):
    prior = prior_of(kind, estimate=estimate)
    bins = torch.arange(TIME) < torch.tensor([[6], [4], [2]])
    sample = posterior.sample(draw("posterior"))
    total = prior.kl(posterior, sample, bins)
    total.sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in prior.parameters())
    garbage = torch.where(bins[..., None], posterior.mean, 9.0)
    others = Normal(garbage, posterior.log_variance), torch.where(bins[..., None], sample, 5.0)
    torch.testing.assert_close(prior.kl(*others, bins), total)
    alone = Normal(posterior.mean[1:2, :4], posterior.log_variance[1:2, :4])
    torch.testing.assert_close(prior.kl(alone, sample[1:2, :4]), total[1:2])


def test_no_prior_costs_nothing_and_samples_nothing(posterior):
    prior = prior_of("none")
    assert not prior.samples
    assert not prior.kl(posterior, None).any()


def test_log_variances_are_bounded_whatever_the_weights():
    head = NormalHead(4, 3, generator=draw("weights")).double()
    states = 2.0 * torch.rand(100, 4, dtype=torch.float64, generator=draw("states")) - 1.0
    before = head(states, floor=1e-9).log_variance
    torch.testing.assert_close(
        before,
        torch.nn.functional.linear(states, head.raw_weight, head.raw_bias)[:, 3:],
        rtol=1e-3,
        atol=1e-4,
    )
    with torch.no_grad():
        head.raw_weight.mul_(1e6)
    after = head(states, floor=1e-9).log_variance
    assert after.abs().max() <= LOG_VARIANCE_BOUND + 1e-9
    assert head(states, floor=0.5).log_variance.min() >= math.log(0.5)
