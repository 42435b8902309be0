"""The dynamics kinds: equations worked out by hand, Jacobians against differences, orders of convergence."""

import itertools
import math
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctd_contract.dynamics import (
    GRU,
    JSLDS,
    NONLINEARITIES,
    RNN,
    Affine,
    OdeMLP,
    Opaque,
    ResidualMLP,
    make_dynamics,
)

METHODS = ("euler", "midpoint", "rk4")


def perceptron(rng, state, inputs, hidden=(6, 5)):
    widths = [state + inputs, *hidden, state]
    pairs = list(itertools.pairwise(widths))
    return [rng.normal(size=(o, i)) / math.sqrt(i) for i, o in pairs], [rng.normal(size=o) for _, o in pairs]


def gru_arguments(rng, state, inputs):
    return (
        rng.normal(size=(3 * state, inputs)),
        rng.normal(size=(3 * state, state)),
        rng.normal(size=3 * state),
        rng.normal(size=3 * state),
    )


def jslds(rng, state, inputs, cell="gru", *, expansion="fixed", layers=2, activation="tanh", **options):
    """A JSLDS that keeps its first input, if it has one, over a cell."""
    width = state + inputs * (expansion == "learned")
    if cell == "gru":
        cell = GRU(*gru_arguments(rng, state, inputs), **options)
    else:
        shapes = (state, state), (state, inputs), (state,)
        cell = RNN(*(rng.normal(size=shape) for shape in shapes), **options)
    return JSLDS(
        cell,
        rng.normal(size=(layers, width, width)) / math.sqrt(max(width, 1)),
        rng.normal(size=(layers, width)),
        input_point=rng.normal(size=inputs) if expansion == "fixed" else None,
        input_kept=np.arange(inputs) == 0,
        input_expansion=expansion,
        activation=activation,
    )


BUILDERS = {
    "affine": lambda rng, s, i: Affine(rng.normal(size=(s, s)), rng.normal(size=(s, i)), rng.normal(size=s)),
    **{
        f"rnn {phi}": lambda rng, s, i, phi=phi: RNN(
            rng.normal(size=(s, s)), rng.normal(size=(s, i)), rng.normal(size=s), alpha=0.3, nonlinearity=phi
        )
        for phi in NONLINEARITIES
    },
    **{
        f"gru {reset} {clip}": lambda rng, s, i, reset=reset, clip=clip: GRU(
            *gru_arguments(rng, s, i), reset=reset, clip=clip
        )
        for reset in ("after", "before")
        for clip in (None, 0.5)
    },
    "residual": lambda rng, s, i: ResidualMLP(*perceptron(rng, s, i), delta=0.3, activation="tanh"),
    "residual of one layer": lambda rng, s, i: ResidualMLP(
        *perceptron(rng, s, i, ()), delta=0.3, activation="relu"
    ),
    **{
        f"ode {method}": lambda rng, s, i, method=method: OdeMLP(
            *perceptron(rng, s, i), dt=0.4, method=method, substeps=3, activation="silu"
        )
        for method in METHODS
    },
    **{
        f"jslds of gru {reset} {clip} {expansion}": partial(
            jslds, reset=reset, clip=clip, expansion=expansion
        )
        for reset, clip in (("after", None), ("before", None), ("before", 0.7))
        for expansion in ("fixed", "learned")
    },
    **{
        f"jslds of rnn {phi} {expansion}": partial(
            jslds, cell="rnn", alpha=0.4, nonlinearity=phi, expansion=expansion
        )
        for phi in ("tanh", "relu", "identity")
        for expansion in ("fixed", "learned")
    },
    "jslds with a relu network of three layers": partial(jslds, layers=3, activation="relu"),
}


def central_differences(function, at, h=1e-6):
    """Jacobian of function (…, out) by the last axis of `at`, one column at a time."""
    columns = [(function(at + h * e) - function(at - h * e)) / (2 * h) for e in np.eye(at.shape[-1])]
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("name", BUILDERS)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    state=st.integers(1, 5),
    inputs=st.integers(0, 3),
    lead=st.sampled_from([((), ()), ((4,), ()), ((), (4,)), ((2, 3), (3,)), ((0,), (0,))]),
    seed=st.integers(0, 2**20),
)
def test_jacobians_are_those_of_the_step(name, state, inputs, lead, seed):
    rng = np.random.default_rng(seed)
    dynamics = BUILDERS[name](rng, state, inputs)
    x, u = rng.normal(size=(*lead[0], state)), rng.normal(size=(*lead[1], inputs))
    batch = np.broadcast_shapes(*lead)
    after, jacobian = dynamics.step_and_jacobian(x, u)
    by_input = dynamics.jacobian_input(x, u)
    assert after.shape == (*batch, state)
    assert jacobian.shape == (*batch, state, state)
    assert by_input.shape == (*batch, state, inputs)
    np.testing.assert_allclose(after, dynamics.step(x, u), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(jacobian, dynamics.jacobian_state(x, u))
    np.testing.assert_allclose(jacobian, central_differences(lambda at: dynamics.step(at, u), x), atol=2e-7)
    if inputs:
        numeric = central_differences(lambda at: dynamics.step(x, at), u)
        np.testing.assert_allclose(by_input, numeric, atol=2e-7)


@pytest.mark.parametrize("name", BUILDERS)
def test_points_of_a_batch_dont_mix(name):
    rng = np.random.default_rng(1)
    dynamics = BUILDERS[name](rng, 4, 2)
    x, u = rng.normal(size=(7, 4)), rng.normal(size=(7, 2))
    singly = [(dynamics.step(a, b), dynamics.jacobian_state(a, b)) for a, b in zip(x, u, strict=True)]
    np.testing.assert_allclose(dynamics.step(x, u), [s for s, _ in singly], atol=1e-14)
    np.testing.assert_allclose(dynamics.jacobian_state(x, u), [j for _, j in singly], atol=1e-14)


@pytest.mark.parametrize("name", BUILDERS)
def test_rebuilt_from_what_a_file_holds(name):
    rng = np.random.default_rng(2)
    dynamics = BUILDERS[name](rng, 3, 2)
    attributes = {k: np.bytes_(v) if isinstance(v, str) else v for k, v in dynamics.attributes.items()}
    attributes["inputs"] = np.array([name.encode() for name in dynamics.inputs])
    again = make_dynamics(dynamics.kind, dict(reversed(dynamics.parameters.items())), attributes)
    x, u = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    np.testing.assert_array_equal(again.step(x, u), dynamics.step(x, u))
    assert again.attributes == dynamics.attributes
    assert again.inputs == ("inputs",)


def test_affine_by_hand():
    dynamics = Affine([[1, 2], [0, 3]], [[1], [-1]], [0.5, 0])
    np.testing.assert_array_equal(dynamics.step([1, 10], [4]), [25.5, 26])


def test_leaky_rnn_by_hand():
    dynamics = RNN([[0, 1], [0, 0]], [[2], [0]], [0, -1], alpha=0.25, nonlinearity="relu")
    # Drives: 0·8 + 1·4 + 2·3 + 0 = 10 and -1.
    np.testing.assert_array_equal(dynamics.step([8, 4], [3]), [0.75 * 8 + 0.25 * 10, 0.75 * 4 + 0])


@pytest.mark.parametrize(("reset", "bias"), [("after", -0.75), ("before", -0.5)])
def test_gru_by_hand(reset, bias):
    """The first unit listens to the second: r = 3/4, z = 1/4, n = tanh(log(3) / 2) = 1/2."""
    log3 = math.log(3)
    weight_state = np.zeros((3, 2, 2))
    weight_state[2, 0, 1] = 1.0  # U_n from unit 1 (whose r is 3/4, too) to unit 0
    bias_state = [log3, log3, -log3, -log3, -1, 0]
    weight_input = np.array([0, 0, 0, 0, 1, 0]).reshape(6, 1)
    bias_input = [0, 0, 0, 0, bias, log3 / 2]
    dynamics = GRU(weight_input, weight_state.reshape(6, 2), bias_input, bias_state, reset=reset)
    # after: W u + b + r (h1 - 1) = log(3)/2 - .75 + .75 · 1; before: log(3)/2 - .5 + .75 · 2 - 1.
    np.testing.assert_allclose(
        dynamics.step([4.0, 2.0], [log3 / 2]), [0.75 * 0.5 + 0.25 * 4, 0.75 * 0.5 + 0.25 * 2], atol=1e-15
    )


def test_clip_bounds_the_new_state_and_flattens_it():
    dynamics = GRU(np.zeros((3, 1)), np.zeros((3, 1)), [0, 0, 0], [0, 0, 0], clip=5.0)
    np.testing.assert_array_equal(dynamics.step([[30.0], [-30.0], [4.0]], [0.0]), [[5.0], [-5.0], [2.0]])
    np.testing.assert_array_equal(dynamics.jacobian_state([[30.0], [4.0]], [0.0]), [[[0.0]], [[0.5]]])
    np.testing.assert_array_equal(dynamics.jacobian_input([[30.0]], [0.0]), [[[0.0]]])


def test_residual_mlp_by_hand():
    dynamics = ResidualMLP([[[1, -1], [0, 2]], [[3, 1]]], [[0, 1], [0.5]], delta=0.1, activation="relu")
    # [x, u] = [2, 5]: hidden relu(-3) = 0 and relu(11) = 11; MLP = 11.5.
    np.testing.assert_allclose(dynamics.step([2.0], [5.0]), [3.15])


@pytest.mark.parametrize(("method", "terms"), [("euler", 2), ("midpoint", 3), ("rk4", 5)])
def test_one_step_of_a_linear_equation_is_the_truncated_exponential(method, terms):
    dynamics = OdeMLP([[[-0.7]]], [[0.0]], dt=1.0, method=method, activation="tanh")
    expected = sum((-0.7) ** k / math.factorial(k) for k in range(terms))
    np.testing.assert_allclose(dynamics.step([1.0]), [expected], atol=1e-15)
    np.testing.assert_allclose(dynamics.jacobian_state([1.0]), [[expected]], atol=1e-15)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_integrators_converge_at_their_order(method, order):
    rng = np.random.default_rng(3)
    weights, biases = perceptron(rng, 3, 2)
    x, u = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))

    def after(method, substeps):
        at = OdeMLP(weights, biases, dt=1.0, method=method, substeps=substeps, activation="tanh")
        return at.step(x, u), at.jacobian_state(x, u), at.jacobian_input(x, u)

    exact = after("rk4", 512)
    coarse, fine = after(method, 16), after(method, 32)
    for truth, rough, better in zip(exact, coarse, fine, strict=True):
        rate = math.log2(np.linalg.norm(rough - truth) / np.linalg.norm(better - truth))
        assert rate == pytest.approx(order, abs=0.15)


def test_input_is_held_over_the_bin():
    dynamics = OdeMLP([[[-1.0, 1.0]]], [[0.0]], dt=0.5, method="rk4", substeps=20, activation="tanh")
    np.testing.assert_allclose(
        dynamics.step([2.0], [3.0]), [2 * math.exp(-0.5) + 3 * (1 - math.exp(-0.5))], atol=1e-9
    )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: Affine(np.zeros((2, 3))),
            r"A: expected axes \(state=2, previous state=2\), got shape \(2, 3\)",
        ),
        (lambda: Affine(np.eye(2), np.zeros((3, 1))), r"B: expected axes \(state=2, input\)"),
        (lambda: Affine([[np.nan]]), "A: expected finite values, got 1 that aren't"),
        (lambda: RNN(np.eye(2), np.eye(2), [0, 0], alpha=0), "alpha: expected a finite number above 0"),
        (lambda: RNN(np.eye(2), np.eye(2), [0, 0], nonlinearity="tahn"), "unknown nonlinearity 'tahn'.*tanh"),
        (
            lambda: GRU(np.zeros((6, 1)), np.zeros((5, 2)), np.zeros(6), np.zeros(6)),
            "weight_state.*3·state=6",
        ),
        (lambda: GRU(*gru_arguments(np.random.default_rng(0), 2, 1), reset="then"), "reset.*after, before"),
        (lambda: GRU(*gru_arguments(np.random.default_rng(0), 2, 1), clip=-1), "clip.*above 0"),
        (
            lambda: ResidualMLP(
                [np.eye(3), np.zeros((2, 4))], [np.zeros(3), np.zeros(2)], delta=1, activation="tanh"
            ),
            r"weight_1: expected axes \(out, in=3\)",
        ),
        (
            lambda: ResidualMLP([np.zeros((3, 2))], [np.zeros(3)], delta=1, activation="tanh"),
            "at least 3 columns",
        ),
        (
            lambda: OdeMLP([[[1]]], [[0]], dt=0.1, method="rk5", activation="tanh"),
            "method.*euler, midpoint, rk4",
        ),
        (
            lambda: OdeMLP([[[1]]], [[0]], dt=0.1, method="rk4", substeps=1.5, activation="tanh"),
            "whole number",
        ),
        (lambda: Affine(np.eye(2), np.eye(2), inputs=()), "2 input channels, got none"),
        (lambda: Affine(np.eye(2), noise_std=-1), "noise_std.*at least 0"),
    ],
)
def test_wrong_parameters_are_refused_by_name(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_strings_are_no_numbers():
    with pytest.raises(TypeError, match="A: expected real numbers"):
        Affine([["one"]])
    with pytest.raises(TypeError, match="sequence of signal names"):
        Affine(np.eye(2), np.eye(2), inputs="inputs")


def test_wrong_points_are_refused():
    dynamics = Affine(np.eye(2), np.eye(2), inputs=("inferred_inputs", "inputs"))
    with pytest.raises(ValueError, match=r"x with axes \(..., state=2\), got shape \(5, 3\)"):
        dynamics.step(np.zeros((5, 3)), np.zeros(2))
    with pytest.raises(ValueError, match="the concatenation of inferred_inputs, inputs, got none"):
        dynamics.step(np.zeros(2))
    with pytest.raises(ValueError, match="no modes"):
        dynamics.jacobian_state(np.zeros(2), np.zeros(2), mode=1)


def test_parameters_cant_be_changed_from_outside():
    A = np.eye(2)
    dynamics = Affine(A)
    A[0, 0] = 7.0
    assert dynamics.step([1.0, 1.0])[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        dynamics.parameters["A"][0, 0] = 7.0


def test_missing_parameters_and_attributes_are_named():
    gru = GRU(*gru_arguments(np.random.default_rng(0), 2, 1))
    parameters = {name: value for name, value in gru.parameters.items() if name != "bias_state"}
    with pytest.raises(ValueError, match="expected the parameter 'bias_state', got bias_input, weight_input"):
        make_dynamics("gru", parameters, gru.attributes)
    mlp = OdeMLP([[[1.0]]], [[0.0]], dt=0.1, method="rk4", activation="tanh")
    attributes = {name: value for name, value in mlp.attributes.items() if name not in ("dt", "method")}
    with pytest.raises(ValueError, match="expected the attribute dt, method, got none"):
        make_dynamics("ode_mlp", mlp.parameters, attributes)


def test_unknown_attribute_is_ignored_with_one_warning():
    affine = Affine(np.eye(2))
    with pytest.warns(UserWarning, match="unknown attributes ignored: colour, shade") as seen:
        again = make_dynamics("affine", affine.parameters, {**affine.attributes, "shade": 1, "colour": "red"})
    assert len(seen) == 1
    np.testing.assert_array_equal(again.step([1.0, 2.0]), [1.0, 2.0])


def test_unknown_kind_reads_as_opaque_with_one_warning():
    with pytest.warns(UserWarning, match="unknown kind of dynamics 'reservoir' reads as opaque") as seen:
        dynamics = make_dynamics("reservoir", {"W": np.eye(3)}, {"state_size": 3, "leak": 0.1})
    assert len(seen) == 1
    assert (dynamics.kind, dynamics.state_size) == ("opaque", 3)


def test_opaque_says_that_it_cant_be_evaluated():
    opaque = Opaque(3, 2)
    assert make_dynamics("opaque", {}, opaque.attributes).attributes == opaque.attributes
    for method in (opaque.step, opaque.jacobian_state, opaque.jacobian_input, opaque.step_and_jacobian):
        with pytest.raises(ValueError, match="opaque dynamics can't be evaluated"):
            method(np.zeros(3), np.zeros(2))


@pytest.mark.parametrize("name", NONLINEARITIES)
def test_nonlinearities_at_extremes(name):
    phi = NONLINEARITIES[name]
    x = np.array([-50.0, -1.0, 0.5, 50.0])
    assert np.isfinite(phi.function(x)).all()
    slope = (phi.function(x + 1e-6) - phi.function(x - 1e-6)) / 2e-6
    np.testing.assert_allclose(phi.derivative(x), slope, rtol=1e-6, atol=1e-8)


def test_evaluators_need_numpy_alone():
    code = (
        "import sys, ctd_contract.dynamics, ctd_contract.readout; "
        "print(*[m for m in ('torch', 'jax', 'scipy', 'hydra', 'matplotlib') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
