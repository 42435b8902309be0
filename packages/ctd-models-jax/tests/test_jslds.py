"""JSLDS: the forward derivative against Jacobians, closed forms, the loss in NumPy, noise."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ctd_contract.dynamics import Opaque
from ctd_models_jax import tasks
from ctd_models_jax.jslds import JSLDS, LossWeights, relative_error
from ctd_models_jax.jslds.export import jslds_dynamics, network_dynamics
from ctd_models_jax.tasks import TASKS

INPUTS, UNITS, TIME = 3, 5, 6
KEY = jax.random.key(0)


class Linear(eqx.Module):
    """A cell of Equinox's form, A h + B u."""

    A: jax.Array
    B: jax.Array

    def __call__(self, inputs, state):
        return self.A @ state + self.B @ inputs


def make(cell="gru", **settings):
    """A model whose expansion network is not at its zeros, and inputs."""
    model = JSLDS(INPUTS, 2, cell=cell if isinstance(cell, str) else "equinox", units=UNITS, **settings)
    params, _ = model.initialize(KEY, None if isinstance(cell, str) else cell)
    leaves, structure = jax.tree.flatten(params.expansion)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noise = [0.3 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    params = params._replace(expansion=jax.tree.unflatten(structure, noise))
    return model, params, jax.random.normal(jax.random.key(2), (4, TIME, INPUTS))


CELLS = ["gru", "tanh", "relu", eqx.nn.GRUCell(INPUTS, UNITS, key=KEY)]
POINTS = [
    {},
    {"input_kept": (False, True, False)},
    {"learned_input_point": True},
    {"learned_input_point": True, "input_kept": (True, False, False)},
]


@pytest.mark.parametrize("settings", POINTS)
@pytest.mark.parametrize("cell", CELLS)
def test_one_forward_derivative_equals_the_jacobians(cell, settings):
    model, params, inputs = make(cell, **settings)
    fast, plain = (model.infer(params, inputs, backend=backend) for backend in ("fast", "plain"))
    for name, values in plain._asdict().items():
        np.testing.assert_allclose(getattr(fast, name), values, atol=1e-5, err_msg=name)
    kept = np.asarray(model.kept())
    np.testing.assert_array_equal(fast.input_points[..., kept], inputs[..., kept])
    if not model.learned_input_point:
        assert not np.asarray(fast.input_points)[..., ~kept].any()


@pytest.mark.parametrize("settings", POINTS)
@pytest.mark.parametrize("cell", CELLS)
def test_the_files_dynamics_are_the_models(cell, settings):
    model, params, inputs = make(cell, **settings)
    run = model.infer(params, inputs)
    network, jslds = network_dynamics(model, params), jslds_dynamics(model, params)
    h = a = np.broadcast_to(params.initial_state, (4, UNITS)).astype(float)
    for k in range(TIME):
        point, input_point = jslds.expansion_point(a, inputs[:, k])
        np.testing.assert_allclose(run.points[:, k], point, atol=1e-5)
        np.testing.assert_allclose(run.input_points[:, k], input_point, atol=1e-5)
        np.testing.assert_allclose(run.drift[:, k], network.step(point, input_point) - point, atol=1e-5)
        h, a = network.step(h, inputs[:, k]), jslds.step(a, inputs[:, k])
        np.testing.assert_allclose(run.states[:, k], h, atol=1e-5)
        np.testing.assert_allclose(run.linear_states[:, k], a, atol=1e-5)


def test_of_a_linear_network_only_the_drift_is_left_out():
    """About any point, an affine map's linearisation is the map: a' = F(a, u) - (F(e, u*) - e)."""
    cell = Linear(0.5 * jax.random.normal(KEY, (UNITS, UNITS)), jax.random.normal(KEY, (UNITS, INPUTS)))
    model, params, inputs = make(cell)
    run = model.infer(params, inputs)
    before = jnp.concatenate(
        [jnp.broadcast_to(params.initial_state, (4, 1, UNITS)), run.linear_states[:, :-1]], 1
    )
    exact = before @ cell.A.T + inputs @ cell.B.T
    np.testing.assert_allclose(run.linear_states, exact - run.drift, atol=1e-5)
    assert isinstance(jslds_dynamics(model, params), Opaque)


def test_points_start_near_the_states():
    model = JSLDS(INPUTS, 2, units=UNITS)
    params, trainable = model.initialize(KEY)
    state = jnp.linspace(-0.9, 0.9, UNITS)
    np.testing.assert_allclose(params.expansion(state), np.tanh(np.tanh(state)), rtol=1e-6)
    assert all(jax.tree.leaves(trainable))


def test_the_relu_expansion_starts_at_the_states_of_a_relu_network():
    model = JSLDS(INPUTS, 2, units=UNITS, cell="relu", activation="relu")
    params, _ = model.initialize(KEY)
    state = jnp.linspace(0.0, 5.0, UNITS)
    np.testing.assert_allclose(params.expansion(state), state + 0.02, rtol=1e-5)


@pytest.mark.parametrize("learned", [False, True])
def test_the_loss_is_the_published_means(learned):
    weights = LossWeights(2.0, 3.0, 5.0, 7.0, 0.1, 11.0)
    model, params, _ = make(learned_input_point=learned, weights=weights)
    model = JSLDS(**{**vars(model), "outputs": 2})
    key = jax.random.key(5)
    inputs, targets = jax.random.normal(key, (4, TIME, INPUTS)), jax.random.normal(key, (4, TIME, 2))
    trials = tasks.Trials(inputs, inputs, targets, (jnp.arange(TIME) >= 2) * 1.0)
    run = jax.tree.map(np.asarray, model.infer(params, inputs))
    inputs, targets = np.asarray(inputs), np.asarray(targets)
    terms = model.loss(params, trials)
    expected = {
        "rnn": 2 * np.mean((run.outputs - targets)[:, 2:] ** 2),
        "jslds": 3 * np.mean((run.linear_outputs - targets)[:, 2:] ** 2),
        "fixed_point": 5 * np.mean(run.drift**2),
        "agreement": 7 * np.mean((run.states - run.linear_states) ** 2),
        "l2": 0.1 * sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(params)),
    }
    if learned:
        expected["input_point"] = 11 * np.mean((run.input_points - np.mean(inputs, 1, keepdims=True)) ** 2)
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(value, rel=1e-5), name
    score = model.score(params, trials)
    assert float(score["loss"]) == pytest.approx(sum(expected.values()), rel=1e-5)
    assert float(score["relative_error"]) == pytest.approx(float(relative_error(run).mean()), rel=1e-5)


def test_a_cell_goes_with_its_name():
    with pytest.raises(ValueError, match="cell='equinox'"):
        JSLDS(2, 1, cell="equinox").initialize(KEY)
    with pytest.raises(ValueError, match="cell='equinox'"):
        JSLDS(2, 1).initialize(KEY, eqx.nn.GRUCell(2, 100, key=KEY))
    with pytest.raises(ValueError, match="agreement must not be negative"):
        LossWeights(agreement=-1.0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cell": "lstm"}, "cell must be one of gru, tanh, relu, equinox, got 'lstm'"),
        ({"activation": "elu"}, "activation must be one of tanh, relu, got 'elu'"),
        ({"units": 0}, "units must be above 0"),
        ({"input_kept": (True,)}, "a bool for each of 2 inputs, got 1"),
        ({"noise_std": -1.0}, "noise_std must not be negative"),
    ],
)
def test_a_wrong_setting_says_so(settings, words):
    with pytest.raises(ValueError, match=words):
        JSLDS(2, 1, **settings)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (
            eqx.nn.GRUCell(2, 7, key=KEY),
            r"inputs \(2,\) and states \(5,\) to states, got an error from GRUCell",
        ),
        (eqx.nn.LSTMCell(2, 5, key=KEY), "got an error from LSTMCell"),
        (Linear(jnp.zeros((4, 5)), jnp.zeros((4, 2))), r"got \(4,\) from Linear"),
    ],
)
def test_a_cell_of_other_sizes_says_so(cell, words):
    with pytest.raises(ValueError, match=words):
        JSLDS(2, 1, cell="equinox", units=5).initialize(KEY, cell)


def test_noise_is_added_to_the_new_states_each_system_having_its_own():
    model, params, inputs = make()
    noise = 0.1 * jax.random.normal(jax.random.key(3), (2, 4, TIME, UNITS))
    run = model.infer(params, inputs, noise=noise)
    np.testing.assert_allclose(model.read(params, run.states), run.outputs, rtol=1e-5)
    np.testing.assert_allclose(model.read(params, run.linear_states), run.linear_outputs, rtol=1e-5)
    systems = (network_dynamics(model, params), jslds_dynamics(model, params))
    for system, states, added in zip(systems, (run.states, run.linear_states), noise, strict=True):
        state = np.broadcast_to(params.initial_state, (4, UNITS)).astype(float)
        for k in range(TIME):
            state = system.step(state, inputs[:, k]) + added[:, k]
            np.testing.assert_allclose(states[:, k], state, atol=1e-5)


def test_training_alone_has_noise_and_that_of_the_setting():
    """A cell that forgets all has states that are the noise: the errors are those of its readout."""
    still = Linear(jnp.zeros((UNITS, UNITS)), jnp.zeros((UNITS, INPUTS)))
    model, params, _ = make(still, weights=LossWeights(rnn=1.0), noise_std=0.3)
    inputs = jnp.zeros((2000, TIME, INPUTS))
    trials = tasks.Trials(inputs, inputs, jnp.zeros((2000, TIME, 2)), jnp.ones(TIME))
    expected = 0.3**2 * float((params.readout_weight**2).sum(1).mean())
    found = [float(model.loss(params, trials, key=jax.random.key(n))["rnn"]) for n in range(2)]
    assert found[0] != found[1]
    np.testing.assert_allclose(found, expected, rtol=0.05)
    assert float(model.loss(params, trials)["rnn"]) == 0.0
    assert float(model.score(params, trials, key=KEY)["rnn"]) == 0.0


def test_a_silent_network_has_a_relative_error():
    """States of relu cells may all be 0."""
    h, a = (jnp.array([[values]]) for values in ([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0]] * 3))
    model, params, inputs = make()
    run = model.infer(params, inputs)._replace(states=h[0], linear_states=a[0].at[:, 2, 0].set(2.0))
    np.testing.assert_allclose(relative_error(run), [[1.0, 0.0, 1.0]])


LEARNERS = {
    "tanh": {"cell": "tanh"},
    "relu": {"cell": "relu", "activation": "relu"},
    "learned input point": {"learned_input_point": True},
    "equinox": {"cell": "equinox"},
}


@pytest.mark.parametrize("name", LEARNERS)
def test_every_kind_of_network_learns(name):
    """A few dozen updates on one bit: the loss falls, and every parameter has moved."""
    task = TASKS["bit_memory"](n_bits=1, n_time=6, ignored_bins=1)
    model = JSLDS(2, 1, units=8, **LEARNERS[name])
    first, _ = model.initialize(KEY, eqx.nn.GRUCell(2, 8, key=KEY) if name == "equinox" else None)
    optimizer = optax.adam(0.02)

    @jax.jit
    def update(params, state, key):
        trials = tasks.draw(task, key, 32)
        gradient = jax.grad(lambda params: sum(model.loss(params, trials).values()))(params)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state

    params, state = first, optimizer.init(first)
    for key in jax.random.split(jax.random.key(1), 60):
        params, state = update(params, state, key)
    trials = tasks.draw(task, jax.random.key(2), 200)
    before, after = model.score(first, trials), model.score(params, trials)
    assert float(after["loss"]) < 0.3 * float(before["loss"])
    assert np.isfinite(after["relative_error"])
    for old, new in zip(jax.tree.leaves(first), jax.tree.leaves(params), strict=True):
        assert (np.asarray(old) != np.asarray(new)).any()
