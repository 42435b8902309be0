"""The JSLDS: its equation from the cell's own Jacobians, closed forms, expansion points, files."""

import numpy as np
import pytest

import ctd_contract as cc
from ctd_contract.dynamics import GRU, JSLDS, RNN, Probe, make_dynamics
from ctd_contract.validation import validate

STATE, INPUT = 4, 3


def make_cell(rng, kind="gru", size=(STATE, INPUT), **options):
    state, inputs = size
    if kind == "gru":
        rows = 3 * state
        shapes = (rows, inputs), (rows, state), (rows,), (rows,)
        return GRU(*(rng.normal(size=shape) for shape in shapes), **options)
    shapes = (state, state), (state, inputs), (state,)
    return RNN(*(rng.normal(size=shape) for shape in shapes), **options)


def network(rng, width, layers=2):
    return 0.5 * rng.normal(size=(layers, width, width)), 0.3 * rng.normal(size=(layers, width))


CELLS = {
    "gru after": {"kind": "gru", "reset": "after"},
    "gru before": {"kind": "gru", "reset": "before"},
    "tanh": {"kind": "rnn", "nonlinearity": "tanh"},
    "leaky relu": {"kind": "rnn", "nonlinearity": "relu", "alpha": 0.3},
}


@pytest.fixture(params=CELLS)
def cell(request):
    return make_cell(np.random.default_rng(0), **CELLS[request.param])


@pytest.fixture
def points():
    rng = np.random.default_rng(1)
    return rng.normal(size=(6, STATE)), rng.normal(size=(6, INPUT))


def by_equation(dynamics, e, star, x, u):
    """One point after another, with the matrices that the cell's own evaluator gives."""
    steps = []
    for k in range(len(x)):
        A, B = (getattr(dynamics.cell, name)(e[k], star[k]) for name in ("jacobian_state", "jacobian_input"))
        steps.append(e[k] + A @ (x[k] - e[k]) + B @ (u[k] - star[k]))
    return np.array(steps)


def by_layers(weights, biases, v):
    for weight, bias in zip(weights, biases, strict=True):
        v = np.array([np.tanh(row + weight @ row + bias) for row in v])
    return v


def test_step_is_the_equation_with_a_fixed_and_a_kept_input(cell, points):
    x, u = points
    weights, biases = network(np.random.default_rng(2), STATE)
    dynamics = JSLDS(cell, weights, biases, input_point=[0.5, 7.0, -1.0], input_kept=[0, 1, 0])
    e, star = dynamics.expansion_point(x, u)
    np.testing.assert_allclose(e, by_layers(weights, biases, x), atol=1e-14)
    np.testing.assert_array_equal(star, [[0.5, second, -1.0] for second in u[:, 1]])
    np.testing.assert_allclose(dynamics.step(x, u), by_equation(dynamics, e, star, x, u), atol=1e-13)


def test_step_is_the_equation_with_a_learned_input(cell, points):
    x, u = points
    weights, biases = network(np.random.default_rng(2), STATE + INPUT)
    dynamics = JSLDS(cell, weights, biases, input_expansion="learned")
    e, star = dynamics.expansion_point(x, u)
    joined = by_layers(weights, biases, np.hstack([x, u]))
    np.testing.assert_allclose(np.hstack([e, star]), joined, atol=1e-14)
    np.testing.assert_allclose(dynamics.step(x, u), by_equation(dynamics, e, star, x, u), atol=1e-13)


def test_inputs_are_expanded_about_zero_unless_said(cell, points):
    x, u = points
    dynamics = JSLDS(cell, *network(np.random.default_rng(2), STATE))
    assert not dynamics.expansion_point(x, u)[1].any()


def test_local_jacobians_are_the_cells_at_the_expansion_point(cell, points):
    x, u = points
    dynamics = JSLDS(cell, *network(np.random.default_rng(2), STATE), input_kept=[1, 0, 0])
    e, star = dynamics.expansion_point(x, u)
    np.testing.assert_array_equal(dynamics.local_jacobian_state(x, u), cell.jacobian_state(e, star))
    np.testing.assert_array_equal(dynamics.local_jacobian_input(x, u), cell.jacobian_input(e, star))
    assert np.abs(dynamics.local_jacobian_state(x, u) - dynamics.jacobian_state(x, u)).max() > 0.1


def test_about_one_constant_point_the_map_is_affine(cell, points):
    """W = -I forgets the state: e = tanh(b), so the Jacobians are the local ones, everywhere the same."""
    x, u = points
    bias = np.array([0.3, -0.2, 0.1, 0.4])
    dynamics = JSLDS(cell, [-np.eye(STATE)], [bias])
    np.testing.assert_allclose(dynamics.expansion_point(x, u)[0], np.tile(np.tanh(bias), (6, 1)), atol=1e-15)
    A, B = dynamics.jacobian_state(x, u), dynamics.jacobian_input(x, u)
    np.testing.assert_allclose(A, dynamics.local_jacobian_state(x, u), atol=1e-14)
    np.testing.assert_allclose(B, dynamics.local_jacobian_input(x, u), atol=1e-14)
    np.testing.assert_allclose(A, np.broadcast_to(A[0], A.shape), atol=1e-15)


def test_jacobian_by_hand():
    """One state, no input, e = tanh(x): x' = e + 2 (1 - tanh²(2 e)) (x - e)."""
    cell = RNN([[2.0]], np.zeros((1, 0)), [0.0])
    dynamics = JSLDS(cell, [[[0.0]]], [[0.0]])
    e = np.tanh(0.7)
    slope, de = 2 * (1 - np.tanh(2 * e) ** 2), 1 - e**2
    bend = -8 * np.tanh(2 * e) * (1 - np.tanh(2 * e) ** 2)
    np.testing.assert_allclose(dynamics.step([0.7]), [e + slope * (0.7 - e)], rtol=1e-15)
    expected = de + slope * (1 - de) + bend * de * (0.7 - e)
    np.testing.assert_allclose(dynamics.jacobian_state([0.7]), [[expected]], rtol=1e-14)
    assert dynamics.inputs == ()


def test_a_fixed_point_of_the_expansion_is_one_of_the_map(cell):
    """At e = x and u = u* nothing moves: the zeroth-order term is e, not F(e, u*)."""
    rng = np.random.default_rng(3)
    weights, biases = network(rng, STATE)
    x = np.zeros(STATE)
    for _ in range(500):
        x = by_layers(weights, biases, x[None])[0]
    dynamics = JSLDS(cell, weights, biases, input_point=[0.1, 0.2, 0.3])
    np.testing.assert_allclose(dynamics.step(x, [0.1, 0.2, 0.3]), x, atol=1e-12)
    assert np.abs(cell.step(x, [0.1, 0.2, 0.3]) - x).max() > 0.01


def test_file_holds_all_of_it(cell, tmp_path, points):
    rng = np.random.default_rng(4)
    for expansion, width in (("fixed", STATE), ("learned", STATE + INPUT)):
        point = rng.normal(size=INPUT) if expansion == "fixed" else None
        dynamics = JSLDS(
            cell,
            *network(rng, width),
            input_point=point,
            input_kept=[0, 0, 1],
            input_expansion=expansion,
            noise_std=0.1,
        )
        path = tmp_path / f"{expansion}.h5"
        write(path, dynamics)
        assert validate(path, level="full") == []
        with cc.open(path) as file:
            again = file.dynamics()
        assert (again.kind, again.attributes) == ("jslds", dynamics.attributes)
        np.testing.assert_array_equal(again.step(*points), dynamics.step(*points))
        assert set(again.parameters) == set(dynamics.parameters)


def write(path, dynamics, probe_of=None):
    """A task file of a few bins whose probe is that of other dynamics where there are any."""
    rng = np.random.default_rng(5)
    states, inputs = rng.normal(size=(10, 5, STATE)), rng.normal(size=(10, 5, dynamics.input_size))
    with cc.create(
        path, "task", name="t", trial=10, time=np.arange(5) * 0.01, bin_width_s=0.01, producer="t 0"
    ) as w:
        w.column("trials", "split", np.zeros(10, np.uint8))
        w.signal("inputs", inputs.astype(np.float32), unit="1")
        w.signal("states", states.astype(np.float32))
        state, u = Probe.points(states, inputs)
        w.dynamics(dynamics, Probe(state, u, (probe_of or dynamics).step(state, u)))


def test_a_probe_of_other_dynamics_is_refused(tmp_path):
    rng = np.random.default_rng(6)
    cell, layers = make_cell(rng, reset="after"), network(rng, STATE)
    right = JSLDS(cell, *layers, input_kept=[0, 0, 1])
    gates = GRU(*cell.parameters.values(), reset="before")
    for wrong in (JSLDS(gates, *layers, input_kept=[0, 0, 1]), JSLDS(cell, *layers), cell):
        with pytest.raises(cc.ContractError, match="CTD404"):
            write(tmp_path / "wrong.h5", right, probe_of=wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": [np.eye(3)]}, r"expansion_weight_0: expected axes \(width=4, previous width=4\)"),
        ({"biases": [np.zeros(3)]}, r"expansion_bias_0: expected axes \(width=4\)"),
        ({"weights": []}, "as many weights as biases, one or more, got 0 and 1"),
        ({"input_expansion": "learned"}, r"expansion_weight_0: expected axes \(width=7"),
        ({"input_expansion": "free"}, "input_expansion: expected one of fixed, learned, got 'free'"),
        ({"input_point": [0.0]}, r"input_point: expected axes \(input=3\)"),
        ({"input_kept": [0, 0.5, 1]}, "input_kept: expected 0 and 1"),
        ({"activation": "tahn"}, "unknown nonlinearity 'tahn'"),
    ],
)
def test_wrong_parameters_are_refused_by_name(options, message):
    rng = np.random.default_rng(7)
    arguments = {"weights": [np.zeros((4, 4))], "biases": [np.zeros(4)], **options}
    with pytest.raises(ValueError, match=message):
        JSLDS(make_cell(rng), arguments.pop("weights"), arguments.pop("biases"), **arguments)


def test_a_learned_input_has_no_fixed_point():
    with pytest.raises(ValueError, match="input_point: expected none"):
        JSLDS(
            make_cell(np.random.default_rng(0)),
            [np.zeros((7, 7))],
            [np.zeros(7)],
            input_point=np.zeros(3),
            input_expansion="learned",
        )


def test_a_cell_without_second_derivatives_is_refused():
    with pytest.raises(ValueError, match="tanh, relu, identity, got 'softplus'"):
        JSLDS(make_cell(np.random.default_rng(0), "rnn", nonlinearity="softplus"), [np.eye(4)], [np.zeros(4)])


def test_what_a_file_lacks_or_has_wrong_is_named():
    rng = np.random.default_rng(8)
    dynamics = JSLDS(make_cell(rng), *network(rng, STATE))
    parameters, attributes = dynamics.parameters, dynamics.attributes
    for name in ("weight_input", "expansion_bias_1", "input_point", "input_kept"):
        rest = {key: value for key, value in parameters.items() if key != name}
        with pytest.raises(ValueError, match=f"expected the parameter '{name}'"):
            make_dynamics("jslds", rest, attributes)
    with pytest.raises(ValueError, match="cell: expected one of gru, rnn, got 'lstm'"):
        make_dynamics("jslds", parameters, {**attributes, "cell": "lstm"})
    with pytest.raises(ValueError, match="expected the attribute cell, got none"):
        make_dynamics("jslds", parameters, {k: v for k, v in attributes.items() if k != "cell"})
