"""Matching of fixed points: exact under affine maps, honest about what is missing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctd_analysis.affine_map import AffineMap, Moments
from ctd_analysis.fixed_points import (
    FixedPointSearch,
    MatchSettings,
    Region,
    find_fixed_points,
    match_fixed_points,
)
from ctd_analysis.fixed_points.match import assign, eigenvalue_error, rates
from ctd_contract.dynamics import RNN


class Changed:
    """Dynamics in other coordinates: y = mix x + shift."""

    kind = "changed"
    input_size = 0

    def __init__(self, dynamics, mix, shift):
        self.dynamics, self.mix, self.shift = dynamics, mix, shift
        self.back = np.linalg.inv(mix)
        self.state_size = len(mix)

    def step(self, state, input=None, mode=None):  # noqa: A002
        return self.dynamics.step((state - self.shift) @ self.back.T, input, mode) @ self.mix.T + self.shift

    def step_and_jacobian(self, state, input=None, mode=None):  # noqa: A002
        new, jacobian = self.dynamics.step_and_jacobian((state - self.shift) @ self.back.T, input, mode)
        return new @ self.mix.T + self.shift, self.mix @ jacobian @ self.back


TRUE = RNN(np.array([[2.0, 0.3], [-0.4, 1.8]]), np.zeros((2, 0)), np.zeros(2))
SEARCH = FixedPointSearch(n_starts=300)


def points_and_map(mix, shift, keep=slice(None)):
    visited = np.random.default_rng(0).uniform(-1.2, 1.2, (400, 2))
    truth = find_fixed_points(TRUE, visited, search=SEARCH, bin_width_s=0.01)
    changed = visited @ mix.T + shift
    model = find_fixed_points(Changed(TRUE, mix, shift), changed, search=SEARCH, bin_width_s=0.01)
    moments = Moments(2, 2)
    moments.update(changed, visited)
    return truth, model.take(np.arange(len(model))[keep]), moments.fit(), Region.of(visited)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_exact_under_random_affine_maps(seed):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(2, 2)) + 2.0 * np.linalg.qr(rng.normal(size=(2, 2)))[0]
    truth, model, to_truth, region = points_and_map(mix, rng.normal(size=2) * 5.0)
    found = match_fixed_points(truth, model, to_truth, region)
    assert len(found.pairs) == len(truth) == len(model) == 9
    assert len(found.missed) == len(found.spurious) == 0
    np.testing.assert_allclose(found.distance, 0.0, atol=1e-9)
    np.testing.assert_allclose(found.multiplier_error, 0.0, atol=1e-8)
    np.testing.assert_allclose(found.rate_error_per_s, 0.0, atol=1e-5)
    np.testing.assert_array_equal(truth.stable[found.pairs[:, 0]], model.stable[found.pairs[:, 1]])


def test_missed_and_spurious_points_are_named():
    truth, model, to_truth, region = points_and_map(np.eye(2), np.zeros(2), keep=slice(1, None))
    found = match_fixed_points(truth, model, to_truth, region)
    assert len(found.pairs) == 8
    np.testing.assert_array_equal(found.missed, [0])
    assert len(found.spurious) == 0
    back = match_fixed_points(model, truth, to_truth, region)
    assert len(back.missed) == 0
    np.testing.assert_array_equal(back.spurious, [0])
    shifted = AffineMap(to_truth.weight, to_truth.intercept + 10.0)
    nothing = match_fixed_points(truth, model, shifted, region)
    assert len(nothing.pairs) == 0
    assert len(nothing.missed) == 9
    assert nothing.multiplier_error.shape == (0,)


def test_a_long_pair_displaces_no_short_one():
    # Pairing 0-1 and 1-0 would match both, but one pair at .9 of the cut-off isn't worth a bad other one.
    distance = np.array([[0.0, 5.0], [0.9, 9.0]])
    np.testing.assert_array_equal(assign(distance, 1.0), [[0, 0]])
    np.testing.assert_array_equal(assign(np.array([[0.5, 0.1], [0.1, 0.5]]), 1.0), [[0, 1], [1, 0]])


def test_eigenvalues_are_paired_before_they_are_compared():
    first = np.array([1.0 + 0.1j, 1.0 - 0.1j, 0.5])
    assert eigenvalue_error(first, first[[1, 2, 0]]) == 0.0
    assert eigenvalue_error(first, first + 0.3) == pytest.approx(0.3)


def test_rates_are_a_common_currency_of_bin_widths():
    """One system sampled at two bin widths has other multipliers and the same rates."""
    exponents = np.array([-3.0 + 20.0j, 1.5])
    for bin_width_s in (0.01, 0.02):
        np.testing.assert_allclose(rates(np.exp(exponents * bin_width_s), bin_width_s), exponents)
    assert np.isfinite(rates(np.array([0.0 + 0.0j]), 0.01)).all()


@pytest.mark.parametrize("wrong", [{"cutoff": 0.0}, {"n_leading": 0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MatchSettings(**wrong)
