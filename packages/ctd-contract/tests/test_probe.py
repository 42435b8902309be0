"""The probe: what it lets through and what it refuses."""

import numpy as np
import pytest

from ctd_contract.dynamics import GRU, Affine, Probe

STATE, INPUT = 6, 2
RNG = np.random.default_rng(0)
WEIGHTS = {
    "weight_input": RNG.normal(size=(3 * STATE, INPUT)),
    "weight_state": RNG.normal(size=(3 * STATE, STATE)),
    "bias_input": RNG.normal(size=3 * STATE),
    "bias_state": RNG.normal(size=3 * STATE),
}


def probe_of(dynamics, noise=0.0):
    rng = np.random.default_rng(1)
    state, u = rng.normal(size=(64, STATE)), rng.normal(size=(64, INPUT))
    return Probe(state, u, dynamics.step(state, u) + noise)


def swapped(order):
    """The same weights with their blocks of rows in another order."""
    return GRU(
        **{name: value.reshape(3, STATE, -1)[order].reshape(value.shape) for name, value in WEIGHTS.items()}
    )


def test_the_writers_own_dynamics_pass():
    dynamics = GRU(**WEIGHTS)
    assert dynamics.probe_error(probe_of(dynamics)) == 0.0
    dynamics.check_probe(probe_of(dynamics))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: swapped([1, 0, 2]),
        lambda: swapped([2, 1, 0]),
        lambda: GRU(**WEIGHTS, reset="before"),
        lambda: GRU(**WEIGHTS, clip=0.5),
        lambda: GRU(**{**WEIGHTS, "bias_state": np.zeros(3 * STATE)}),
        lambda: GRU(**{**WEIGHTS, "weight_input": WEIGHTS["weight_input"][:, ::-1]}),
    ],
    ids=["r and z swapped", "r and n swapped", "other reset", "clipped", "no bias", "inputs swapped"],
)
def test_a_mistake_in_the_export_is_refused(wrong):
    with pytest.raises(ValueError, match=r"miss the writer's own next states by .* more than 1e-05"):
        wrong().check_probe(probe_of(GRU(**WEIGHTS)))


def test_inputs_one_bin_off_are_refused():
    dynamics = GRU(**WEIGHTS)
    probe = probe_of(dynamics)
    with pytest.raises(ValueError, match="miss"):
        dynamics.check_probe(Probe(probe.state, np.roll(probe.input, 1, axis=0), probe.next_state))


def test_the_error_is_relative_to_the_largest_state():
    dynamics = Affine(np.eye(1))
    probe = Probe([[99.0], [-1.0]], None, [[99.0], [-1.5]])
    assert dynamics.probe_error(probe) == pytest.approx(0.5 / 100)


def test_the_tolerance_is_1e_5():
    dynamics = GRU(**WEIGHTS)
    scale = 1 + np.abs(probe_of(dynamics).state).max()
    dynamics.check_probe(probe_of(dynamics, noise=0.9e-5 * scale))
    with pytest.raises(ValueError, match="miss"):
        dynamics.check_probe(probe_of(dynamics, noise=1.1e-5 * scale))


def test_dynamics_that_overflow_are_refused():
    dynamics = Affine([[1e308]])
    assert dynamics.probe_error(Probe([[1e10]], None, [[0.0]])) == float("inf")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (([[1.0, 2.0]], None, [[1.0]]), r"next_state: expected axes \(point=1, state=2\)"),
        (([[1.0]], [[1.0], [2.0]], [[1.0]]), r"probe input: expected axes \(point=1, input\)"),
        (([[np.inf]], None, [[1.0]]), "probe state: expected finite"),
        ((np.zeros((0, 2)), None, np.zeros((0, 2))), "at least one point"),
    ],
)
def test_malformed_probes_are_refused(arrays, message):
    with pytest.raises(ValueError, match=message):
        Probe(*arrays)


def test_points_pair_a_state_with_the_input_that_came_next():
    trial, time = np.meshgrid(np.arange(5), np.arange(10), indexing="ij")
    states = np.stack([trial, time], axis=-1).astype(np.float32)
    state, u = Probe.points(states, states * 2, seed=3)
    assert state.shape == u.shape == (64, 2)
    assert state.dtype == u.dtype == np.float64
    np.testing.assert_array_equal(u[:, 0], 2 * state[:, 0])
    np.testing.assert_array_equal(u[:, 1], 2 * (state[:, 1] + 1))


def test_points_follow_their_seed_and_dont_repeat_while_they_last():
    states = np.arange(100.0).reshape(100, 1)
    first, again, other = (Probe.points(states, seed=seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(np.unique(first)) == 64
    assert Probe.points(states[:10])[0].shape == (64, 1)
    assert Probe.points(states)[1].shape == (64, 0)


def test_points_need_states_and_inputs_alike():
    with pytest.raises(ValueError, match=r"alike, got \(5, 10, 2\) and \(5, 9, 2\)"):
        Probe.points(np.zeros((5, 10, 2)), np.zeros((5, 9, 2)))
    with pytest.raises(ValueError, match="at least one visited state"):
        Probe.points(np.zeros((0, 2)))
