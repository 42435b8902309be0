"""Fixed and slow points where they are known in closed form."""

import numpy as np
import pytest
from scipy.optimize import brentq
from threadpoolctl import threadpool_limits

from ctd_analysis.fixed_points import FixedPointSearch, find_fixed_points
from ctd_analysis.fixed_points.deduplicate import deduplicate
from ctd_contract.dynamics import GRU, RNN, Affine, Opaque, ResidualMLP

BIN = {"bin_width_s": 0.01}


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def bistable(states=2):
    """Each unit alone: x' = tanh(2 x), fixed at 0 and at the two roots of x = tanh(2 x)."""
    root = brentq(lambda x: np.tanh(2.0 * x) - x, 0.5, 1.0)
    return RNN(2.0 * np.eye(states), np.zeros((states, 0)), np.zeros(states)), root


def test_affine_has_one_point_wherever_it_starts(rng):
    matrix, offset, drive = rng.normal(size=(4, 4)), rng.normal(size=4), rng.normal(size=(4, 2))
    constant = np.array([0.3, -2.0])
    found = find_fixed_points(
        Affine(matrix, drive, offset),
        rng.normal(size=(50, 4)),
        constant,
        search=FixedPointSearch(reach=None),
        **BIN,
    )
    assert len(found) == 1
    expected = np.linalg.solve(np.eye(4) - matrix, offset + drive @ constant)
    np.testing.assert_allclose(found.state[0], expected, rtol=1e-10)
    np.testing.assert_allclose(np.abs(found.eigenvalues[0]), np.sort(np.abs(np.linalg.eigvals(matrix)))[::-1])
    np.testing.assert_array_equal(found.input, [constant])
    assert found.n_starts == found.n_converged == 50


def test_bistable_units_have_nine_points(rng):
    dynamics, root = bistable()
    found = find_fixed_points(dynamics, rng.uniform(-1.2, 1.2, (300, 2)), **BIN)
    expected = np.array([[a, b] for a in (-root, 0.0, root) for b in (-root, 0.0, root)])
    order = np.lexsort(np.round(found.state.T, 6)[::-1])
    np.testing.assert_allclose(found.state[order], expected, atol=1e-12)
    np.testing.assert_array_equal(found.n_unstable, [0, 0, 0, 0, 1, 1, 1, 1, 2])
    assert found.stable.sum() == 4
    assert found.speed.max() < 1e-14
    slope = 2.0 * (1.0 - root**2)
    np.testing.assert_allclose(np.sort(found.eigenvalues[0].real), [slope, slope], rtol=1e-9)
    np.testing.assert_allclose(found.time_constants_s[0], -0.01 / np.log(slope), rtol=1e-9)
    np.testing.assert_allclose(found.time_constants_s[-1], -0.01 / np.log(2.0), rtol=1e-9)


def test_threads_change_nothing(rng):
    dynamics = RNN(rng.normal(size=(128, 128)) * 1.5 / np.sqrt(128), np.zeros((128, 0)), np.zeros(128))
    visited, found = rng.uniform(-1.0, 1.0, (100, 128)), []
    for count in (1, 2):
        with threadpool_limits(count):
            found.append(find_fixed_points(dynamics, visited, **BIN))
    assert len(found[0]) > 1
    np.testing.assert_array_equal(found[0].state, found[1].state)


def test_gru_of_two_units(rng):
    """Gates at one half: h' = (n + h) / 2, fixed where h = tanh(2 h), slope (1 + 2 (1 - h^2)) / 2."""
    weight = np.zeros((6, 2))
    weight[4:] = 4.0 * np.eye(2)  # the reset gate halves it
    gru = GRU(np.zeros((6, 0)), weight, np.zeros(6), np.zeros(6))
    _, root = bistable()
    found = find_fixed_points(gru, rng.uniform(-1.0, 1.0, (300, 2)), **BIN)
    assert len(found) == 9
    np.testing.assert_allclose(np.abs(found.state[found.stable]), root, rtol=1e-10)
    expected = 0.5 + (1.0 - root**2)
    np.testing.assert_allclose(found.eigenvalues[found.stable].real, expected, rtol=1e-9)


def rotated_line(rng, offset):
    """Three states: a line on which nothing (or only `offset`) moves, two directions that decay."""
    basis = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return Affine(basis @ np.diag([1.0, 0.5, 0.2]) @ basis.T, np.zeros((3, 0)), offset * basis[:, 0]), basis


def test_a_line_attractor_is_a_row_of_fixed_points(rng):
    dynamics, basis = rotated_line(rng, 0.0)
    visited = rng.normal(size=(400, 3))
    found = find_fixed_points(dynamics, visited, search=FixedPointSearch(max_points=40), **BIN)
    assert 10 < len(found) <= 40
    along, *across = (found.state @ basis).T
    np.testing.assert_allclose(across, 0.0, atol=1e-9)
    assert np.ptp(along) > 3.0
    np.testing.assert_allclose(np.abs(found.eigenvalues[:, 0]), 1.0, rtol=1e-9)


def ghost(depth):
    """x' = x + (even function of x, at least depth / 10), y' = y / 2: slowest at x = 0, y = 0."""
    first = np.array([[0.5, 0.0], [0.5, 0.0], [0.0, 1e-3]])
    bias = np.array([1.0, -1.0, 0.0])
    # -tanh(x/2 + 1) + tanh(x/2 - 1) is even with a minimum of -2 tanh(1) at 0.
    last = np.array([[-1.0, 1.0, 0.0], [0.0, 0.0, -500.0]])
    return ResidualMLP(
        [first, last], [bias, np.array([2.0 * np.tanh(1.0) + depth, 0.0])], delta=0.1, activation="tanh"
    )


def test_a_slow_point_is_told_from_a_fixed_one(rng):
    visited = rng.uniform(-1.0, 1.0, (100, 2))
    found = find_fixed_points(ghost(1e-2), visited, **BIN)
    assert len(found) == 1
    assert found.is_slow[0]
    assert not found.stable[0]
    np.testing.assert_allclose(found.state[0], 0.0, atol=1e-3)
    assert found.speed[0] == pytest.approx(1e-3, rel=1e-3)
    # A faster ghost isn't slow, and past the bifurcation there are two fixed points instead.
    assert len(find_fixed_points(ghost(1.0), visited, **BIN)) == 0
    both = find_fixed_points(ghost(-1e-2), visited, **BIN)
    assert not both.is_slow.any()
    np.testing.assert_array_equal(both.n_unstable, [0, 1])
    np.testing.assert_allclose(both.state[0, 0], -both.state[1, 0], rtol=1e-8)


def test_the_order_of_the_starts_changes_nothing(rng):
    dynamics, _ = bistable(3)
    visited = rng.uniform(-1.2, 1.2, (400, 3))
    search = FixedPointSearch(n_starts=400)
    first = find_fixed_points(dynamics, visited, search=search, **BIN)
    second = find_fixed_points(dynamics, visited[::-1], search=search, **BIN)
    assert len(first) == 27
    order = [np.lexsort(np.round(found.state.T, 8)) for found in (first, second)]
    np.testing.assert_allclose(first.state[order[0]], second.state[order[1]], atol=1e-12)


def test_the_same_seed_gives_the_same_points(rng):
    dynamics, _ = bistable()
    visited = rng.uniform(-1.2, 1.2, (400, 2))
    runs = [
        find_fixed_points(
            dynamics, visited, search=FixedPointSearch(n_starts=30, noise=0.1), seed=seed, **BIN
        )
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(runs[0].state, runs[1].state)
    assert runs[0].n_starts == 30
    assert not np.array_equal(runs[0].state, runs[2].state)


def test_runaways_are_counted_and_dropped(rng):
    dynamics = Affine(0.5 * np.eye(2), np.zeros((2, 0)), np.array([50.0, 0.0]))
    visited = rng.normal(size=(30, 2))
    dropped = find_fixed_points(dynamics, visited, **BIN)
    assert (len(dropped), dropped.n_outside, dropped.n_converged) == (0, 30, 30)
    kept = find_fixed_points(dynamics, visited, search=FixedPointSearch(reach=None), **BIN)
    np.testing.assert_allclose(kept.state, [[100.0, 0.0]], atol=1e-10)


def test_dynamics_that_overflow_lose_their_starts_and_nothing_else(rng):
    weights = [np.array([[1.0]]), np.array([[1e200]])]
    explosive = ResidualMLP([*weights, np.array([[1e200]])], [np.zeros(1)] * 3, delta=1.0, activation="relu")
    found = find_fixed_points(explosive, rng.uniform(0.5, 1.0, (20, 1)), **BIN)
    assert len(found) == 0


def test_no_points_is_an_empty_set():
    drift = Affine(np.eye(2), np.zeros((2, 0)), np.ones(2))
    found = find_fixed_points(drift, np.zeros((1, 2)), **BIN)
    assert len(found) == 0
    assert found.eigenvalues.shape == (0, 2)
    assert found.stable.shape == (0,)


def test_deduplication_keeps_the_best_of_each_neighbourhood():
    points = np.array([[0.0], [0.04], [1.0], [1.01]])
    np.testing.assert_array_equal(deduplicate(points, np.array([2.0, 1.0, 1.0, 3.0]), 0.05), [1, 2])
    assert len(deduplicate(np.zeros((0, 3)), np.zeros(0), 0.1)) == 0


def test_opaque_dynamics_are_refused_with_a_reason():
    with pytest.raises(ValueError, match="opaque"):
        find_fixed_points(Opaque(2), np.zeros((1, 2)), **BIN)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"visited": np.zeros((4, 3))}, "visited"),
        ({"visited": np.zeros((0, 2))}, "visited"),
        ({"visited": np.zeros((4, 2)), "input": np.zeros(3)}, "input"),
    ],
)
def test_wrong_shapes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        find_fixed_points(bistable()[0], **arguments, **BIN)


@pytest.mark.parametrize(
    "settings", [{"n_starts": 0}, {"noise": -1.0}, {"reach": 0.0}, {"tolerance": 0.0}, {"separation": 0.0}]
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        FixedPointSearch(**settings)


def test_a_unit_that_holds_any_value_does_not_stop_the_others(rng):
    """The second update gate is one to the last digit: its row of dF/dx - 1 is exactly zero."""
    weight, bias = np.zeros((6, 2)), np.array([0.0, 0.0, 0.0, 50.0, 0.0, 0.0])
    weight[4, 0] = 4.0
    gru = GRU(np.zeros((6, 0)), weight, bias, np.zeros(6))
    root = bistable()[1]
    visited = np.stack([rng.uniform(-1.2, 1.2, 200), np.repeat([0.25, -0.25], 100)], axis=1)
    found = find_fixed_points(gru, visited, search=FixedPointSearch(max_damped_starts=0), **BIN)
    expected = [[a, b] for a in (-root, 0.0, root) for b in (-0.25, 0.25)]
    order = np.lexsort(np.round(found.state.T, 6)[::-1])
    np.testing.assert_allclose(found.state[order], expected, atol=1e-10)
