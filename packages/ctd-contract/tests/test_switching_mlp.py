"""Switching dynamics of regions: sums over networks worked out one by one, differences, modes, files."""

import numpy as np
import pytest

import ctd_contract as cc
from ctd_contract.dynamics import NONLINEARITIES, Probe, SwitchingMLP, make_dynamics
from ctd_contract.testing import make_recording

SIZES, CHANNELS = (2, 3, 1), (1, 1)
COMMUNICATION = ("additive", "additive-linear", "conditional")


def draw(
    communication="additive",
    *,
    modes=2,
    hidden=(5, 4),
    input_sizes=CHANNELS,
    input_hidden=(3,),
    seed=0,
    **settings,
):
    """Random dynamics of three regions, their networks as wide as asked for; weights are shared by modes
    where `shared` is given."""
    random = np.random.default_rng(seed)
    shared = settings.pop("shared", False)
    regions, widest = len(SIZES), max(SIZES)

    def stack(sources, first, widths):
        weights, biases = [], []
        for width in (*widths, widest):
            weights.append(
                random.normal(size=(1 if shared else modes, regions, sources, width, first)) / np.sqrt(first)
            )
            biases.append(random.normal(size=(modes, regions, sources, width)))
            first = width
        return weights, biases

    weights, biases = stack(regions, widest, hidden)
    if communication == "conditional":
        settings["local_weights"] = [random.normal(size=(*w.shape[:4], widest)) for w in weights]
    if input_sizes:
        input_weights, input_biases = stack(len(input_sizes), max(input_sizes), input_hidden)
        settings |= {
            "input_weights": input_weights,
            "input_biases": input_biases,
            "input_sizes": input_sizes,
            "input_activation": "tanh",
        }
    return SwitchingMLP(
        weights, biases, region_sizes=SIZES, activation="tanh", communication=communication, **settings
    )


def network(p, prefix, mode, target, source, values, own, phi):
    """One perceptron of one point, layer by layer."""
    layer = 0
    while f"{prefix}weight_{layer}" in p:
        weight, bias = (p[f"{prefix}{name}_{layer}"] for name in ("weight", "bias"))
        weight, bias = (array[min(mode, len(array) - 1), target, source] for array in (weight, bias))
        values = weight[:, : len(values)] @ (phi(values) if layer else values) + bias
        if own is not None:
            local = p[f"{prefix}local_weight_{layer}"]
            values = values + local[min(mode, len(local) - 1), target, source][:, : len(own)] @ own
        layer += 1
    return values[: SIZES[target]]


def slow(dynamics, x, u, mode):
    """Messages and input messages of one point, network by network."""
    p, phi = dynamics.parameters, NONLINEARITIES[dynamics.activation].function
    states = np.split(x, np.cumsum(SIZES)[:-1])
    channels = np.split(u, np.cumsum(dynamics.input_sizes)[:-1]) if dynamics.input_sizes else []
    told = np.zeros((len(SIZES), len(x)))
    given = np.zeros((len(channels), len(x)))
    place = np.repeat(np.arange(len(SIZES)), SIZES)
    for i, mine in enumerate(states):
        for j, other in enumerate(states):
            linear = dynamics.communication == "additive-linear" and i != j
            own = mine if dynamics.communication == "conditional" and i != j else None
            told[j, place == i] = network(p, "", mode, i, j, other, own, (lambda v: v) if linear else phi)
        for j, channel in enumerate(channels):
            given[j, place == i] = network(p, "input_", mode, i, j, channel, None, np.tanh)
    return told, given


def points(dynamics, n=6, seed=1):
    random = np.random.default_rng(seed)
    x, u = random.normal(size=(n, 6)), random.normal(size=(n, dynamics.input_size))
    return x, u if dynamics.input_size else None, random.integers(0, dynamics.modes, n)


VARIANTS = {
    **{name: draw(name) for name in COMMUNICATION},
    "increments": draw("conditional", output="increment"),
    "joint inputs": draw(input_sizes=(3,)),
    "no inputs": draw(input_sizes=()),
    "shared weights": draw("conditional", shared=True),
    "one mode": draw(modes=1),
    "one layer": draw("conditional", hidden=(), input_hidden=()),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_steps_and_messages_are_sums_over_networks(name):
    dynamics = VARIANTS[name]
    x, u, mode = points(dynamics)
    found = [
        slow(dynamics, *point) for point in zip(x, np.zeros((6, 0)) if u is None else u, mode, strict=True)
    ]
    told, given = (np.stack(part) for part in zip(*found, strict=True))
    increment = dynamics.output == "increment"
    expected = told.sum(1) + given.sum(1) + (x if increment else 0)
    np.testing.assert_allclose(dynamics.step(x, u, mode), expected, atol=1e-12)
    region = np.repeat(np.arange(3), SIZES)
    local = told - (np.arange(3)[:, None] == region) * (0 if increment else x[:, None])
    np.testing.assert_allclose(dynamics.messages(x, mode), local, atol=1e-12)
    if u is not None:
        np.testing.assert_allclose(dynamics.input_messages(u, mode), given, atol=1e-12)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("reference", [None, np.linspace(-1, 1, 6)])
def test_messages_add_up_to_the_increment_whatever_they_are_counted_from(name, reference):
    dynamics = VARIANTS[name]
    x, u, mode = points(dynamics)
    told = dynamics.messages(x, mode, reference=reference).sum(1)
    told = told if u is None else told + dynamics.input_messages(u, mode).sum(1)
    np.testing.assert_allclose(told, dynamics.step(x, u, mode) - x, atol=1e-12)


def test_regions_at_their_reference_say_nothing_to_others():
    dynamics, reference = VARIANTS["conditional"], np.linspace(-1, 1, 6)
    x, _, mode = points(dynamics)
    region = np.repeat(np.arange(3), SIZES)
    x[:, region == 1] = reference[region == 1]
    messages = dynamics.messages(x, mode, reference=reference)
    assert not messages[:, 1, region != 1].any()
    assert np.abs(messages[:, 0, region != 0]).min() > 1e-3


@pytest.mark.parametrize("name", VARIANTS)
def test_jacobians_are_differences(name):
    dynamics = VARIANTS[name]
    x, u, mode = points(dynamics)
    h = 1e-6

    def slopes(function, at):
        return np.stack(
            [(function(at + h * e) - function(at - h * e)) / (2 * h) for e in np.eye(at.shape[1])], axis=-1
        )

    new_state, jacobian = dynamics.step_and_jacobian(x, u, mode)
    np.testing.assert_allclose(new_state, dynamics.step(x, u, mode), atol=1e-13)
    np.testing.assert_allclose(jacobian, slopes(lambda at: dynamics.step(at, u, mode), x), atol=1e-8)
    np.testing.assert_array_equal(dynamics.jacobian_state(x, u, mode), jacobian)
    by_input = dynamics.jacobian_input(x, u, mode)
    assert by_input.shape == (6, 6, dynamics.input_size)
    if u is not None:
        np.testing.assert_allclose(by_input, slopes(lambda at: dynamics.step(x, at, mode), u), atol=1e-8)


def test_the_one_hot_mode_at_every_layer_is_a_bias_of_each_mode():
    random = np.random.default_rng(3)
    dynamics = VARIANTS["shared weights"]
    p = {name: array.copy() for name, array in dynamics.parameters.items()}
    columns = [random.normal(size=p[f"bias_{layer}"].shape) for layer in range(3)]  # of the one-hot, by mode
    for layer, column in enumerate(columns):
        p[f"bias_{layer}"] = p[f"bias_{layer}"][:1] + column
    conditioned = make_dynamics("switching_mlp", p, dynamics.attributes)
    assert all(conditioned.parameters[f"weight_{layer}"].shape[0] == 1 for layer in range(3))
    x, u, mode = points(dynamics)
    expected = [slow(conditioned, *point) for point in zip(x, u, mode, strict=True)]
    np.testing.assert_allclose(
        conditioned.step(x, u, mode), [a.sum(0) + b.sum(0) for a, b in expected], atol=1e-12
    )


def test_what_lies_past_a_region_s_size_does_nothing():
    dynamics = VARIANTS["conditional"]
    p = {name: array.copy() for name, array in dynamics.parameters.items()}
    p["weight_0"][:, :, 0, :, 2:] = p["weight_2"][:, 2, :, 1:] = p["local_weight_1"][:, 2, :, :, 1:] = 99.0
    p["local_weight_0"][:, 1, 1] = 99.0  # of a region to itself
    other = make_dynamics("switching_mlp", p, dynamics.attributes)
    x, u, mode = points(dynamics)
    np.testing.assert_array_equal(other.step(x, u, mode), dynamics.step(x, u, mode))


def test_modes_broadcast_and_stand_alone():
    dynamics = VARIANTS["additive"]
    x, u, _ = points(dynamics)
    both = dynamics.step(x, u, np.arange(2)[:, None])
    for mode in (0, 1):
        np.testing.assert_allclose(both[mode], dynamics.in_mode(mode).step(x, u), atol=1e-14)
        np.testing.assert_allclose(both[mode], dynamics.step(x, u, mode), atol=1e-14)
    assert not np.allclose(*both)
    assert dynamics.jacobian_state(x[0], u[0], 1).shape == (6, 6)
    assert dynamics.messages(np.zeros((0, 6)), 0).shape == (0, 3, 6)


@pytest.mark.parametrize("mode", [None, 2, -1, 0.5])
def test_modes_that_are_none_are_refused(mode):
    with pytest.raises(ValueError, match="whole numbers from 0 to 1"):
        VARIANTS["additive"].step(np.zeros(6), np.zeros(2), mode)


@pytest.mark.parametrize("name", VARIANTS)
def test_files_keep_the_dynamics_and_their_modes(name, tmp_path):
    dynamics = VARIANTS[name]
    recording = make_recording(tmp_path / "r.h5", n_trials=4, n_time=5, seed=0)
    x, u, mode = points(dynamics, 64)
    probe = Probe(x, u, dynamics.step(x, u, mode), mode)
    with cc.open(recording) as file:
        shape, n_neurons = (file.sizes["trial"], file.sizes["time"]), file.sizes["neuron"]
    states = np.zeros((*shape, 6), np.float32)
    signals = {"states": states, "rates": np.ones((*shape, n_neurons), np.float32)}
    if u is not None:
        signals["inputs"] = np.zeros((*shape, u.shape[1]), np.float32)
    cc.write_inference(
        tmp_path / "i.h5",
        recording,
        model="m",
        dynamics=dynamics,
        probe=probe,
        units={"inputs": "1"},
        **signals,
    )
    with cc.open(tmp_path / "i.h5") as file:
        found = file.dynamics()
    assert isinstance(found, SwitchingMLP)
    assert found.attributes == dynamics.attributes
    np.testing.assert_array_equal(found.step(x, u, mode), dynamics.step(x, u, mode))
    if dynamics.modes > 1:
        with pytest.raises(ValueError, match="miss the writer's own next states"):
            dynamics.check_probe(Probe(x, u, probe.next_state, 1 - mode))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"region_sizes": (2, 3)}, "target region=2"),
        ({"region_sizes": (2, 0, 1)}, r"region_sizes\[1\]"),
        ({"communication": "telepathic"}, "additive"),
        ({"communication": "conditional"}, "local_weights"),
        ({"output": "change"}, "next_state"),
        ({"input_sizes": None}, "all or none"),
        ({"activation": "spike"}, "unknown nonlinearity"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change, said):
    dynamics = VARIANTS["additive"]
    with pytest.raises(ValueError, match=said):
        make_dynamics(
            "switching_mlp",
            dynamics.parameters,
            {k: v for k, v in {**dynamics.attributes, **change}.items() if v is not None},
        )


def test_parameters_that_do_not_fit_are_refused():
    dynamics = VARIANTS["conditional"]
    for change, said in (
        ({"bias_1": np.zeros((2, 3, 3, 7))}, "bias_1"),
        ({"weight_0": np.zeros((3, 3, 3, 5, 3))}, "number of modes"),
        ({"weight_2": None}, "weight_1: expected"),
        ({"input_bias_0": None}, "input_bias_0"),
    ):
        parameters = {k: v for k, v in {**dynamics.parameters, **change}.items() if v is not None}
        with pytest.raises(ValueError, match=said):
            make_dynamics("switching_mlp", parameters, dynamics.attributes)
