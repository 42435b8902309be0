"""JSLDS: the forward derivative against Jacobians, closed forms, the loss in NumPy, files that replay."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctd_contract as cc
from ctd_contract.dynamics import Opaque
from ctd_models_jax import tasks
from ctd_models_jax.cli import COMMAND
from ctd_models_jax.jslds import JSLDS, LossWeights, relative_error
from ctd_models_jax.jslds.export import jslds_dynamics, network_dynamics
from ctd_models_jax.tasks.config import BitMemoryConfig

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


TINY = ["task.n_bits=1", "task.n_time=8", "task.ignored_bins=2", "model.units=8", "n_trials=40"]
SHORT = ["training.steps=200", "training.steps_per_call=50", "training.batch_size=16", "training.n_valid=32"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    assert COMMAND.invoke(["model=jslds", f"out={out}", *TINY, *SHORT, "training.learning_rate=0.02"]) == 0
    return out


def test_the_command_leaves_a_network_and_its_jslds(folder):
    for name in ("task.h5", "inference.h5"):
        assert not cc.validate(folder / name, level="full")
    with cc.open(folder / "task.h5") as network, cc.open(folder / "inference.h5") as jslds:
        assert (network.kind, network.dynamics().kind) == ("task", "gru")
        assert (jslds.kind, jslds.dynamics().kind) == ("inference", "jslds")
        (parent,) = jslds.provenance.parents
        assert (parent.digest, parent.role) == (network.digest, "network")
        assert network.provenance.run == jslds.provenance.run
        assert [int(network.split(name).sum()) for name in ("train", "valid", "test")] == [28, 4, 8]
        np.testing.assert_array_equal(network.phases["scored"], np.tile([2, 8], (40, 1)))
        for file in (network, jslds):
            inputs = file.signals["inputs"][:]
            state = file.signals["initial_state"][:].astype(float)
            for k in range(8):
                state = file.dynamics().step(state, inputs[:, k])
                np.testing.assert_allclose(file.signals["states"][:, k], state, atol=1e-4)
            outputs = file.readout().evaluate(file.signals["states"][:])
            np.testing.assert_allclose(file.signals["outputs"][:], outputs, atol=1e-4)
        before = np.concatenate(
            [jslds.signals["initial_state"][:][:, None], jslds.signals["states"][:, :-1]], axis=1
        )
        points, _ = jslds.dynamics().expansion_point(before, jslds.signals["inputs"][:])
        np.testing.assert_allclose(jslds.signals["expansion_points"][:], points, atol=1e-5)


def test_training_brings_both_together(folder):
    with cc.open(folder / "task.h5") as network, cc.open(folder / "inference.h5") as jslds:
        h, a = network.signals["states"][:], jslds.signals["states"][:]
        assert np.linalg.norm(h - a) / np.linalg.norm(h) < 0.25
        right = np.sign(jslds.signals["outputs"][:, 2:]) == network.signals["targets"][:, 2:]
        assert right.mean() > 0.9
    errors = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    column = errors[0].index("valid/relative_error")
    assert float(errors[-1][column]) < 0.9 * float(errors[1][column])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["task=bit_memry"], "did you mean 'bit_memory'?"),
        (["task.n_bit=2"], "did you mean 'task.n_bits'?"),
        (["task.n_time=4"], "ignored_bins must leave one of 4 bins"),
        (["model.cell=lstm"], "cell must be one of gru, tanh, relu"),
        (["model.weights.agreement=-1"], "agreement must not be negative"),
        (["training.schedule=linear"], "schedule must be one of"),
        (["n_trials=3"], "n_trials must be at least 10"),
        (["data=x.h5"], "data"),
        (["preset=publishd"], "there is no preset 'publishd'"),
    ],
)
def test_bad_input_is_a_sentence(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert COMMAND.invoke(["model=jslds", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("name", ["published_bit_memory", "published_context_integration"])
def test_presets_are_the_published_settings(name, capsys):
    assert COMMAND.invoke(["model=jslds", f"preset={name}", "--cfg", "job"]) == 0
    shown = capsys.readouterr().out
    for line in (
        "epsilon: 0.1",
        "learning_rate: 0.02",
        "decay: 0.9999",
        "batch_size: 256",
        "agreement: 10.0",
    ):
        assert line in shown
    assert ("n_bits: 3" in shown) == (name == "published_bit_memory")
    assert ("l2: 1.0e-05" in shown) == (name == "published_context_integration")
    assert BitMemoryConfig().n_time == 25
