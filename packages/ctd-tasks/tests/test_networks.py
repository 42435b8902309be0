"""Networks: their equations, noise, readout, penalty, and the portable form of each."""

import numpy as np
import pytest
import torch

from ctd_contract.torch.random import generator
from ctd_tasks.networks import NETWORKS, LeakyRNNConfig, NetworkConfig, NODEConfig, NoisyGRUConfig, build
from ctd_tasks.networks.base import array

UNITS, INPUTS, OUTPUTS = 6, 2, 3


def make(name, *, seed=0, **options):
    return build(NETWORKS[name](units=UNITS, **options), INPUTS, OUTPUTS, seed=seed)


def drive(n_trials=4, n_time=7, seed=1):
    values = np.random.default_rng(seed).normal(size=(n_trials, n_time, INPUTS))
    return torch.from_numpy(values)


def run(network, *, noise_seed=None, **size):
    network = network.double()
    stream = None if noise_seed is None else generator(noise_seed, "test")
    with torch.no_grad():
        return network.run(drive(**size), stream).map(array)


@pytest.mark.parametrize("name", NETWORKS)
class TestEveryNetwork:
    def test_portable_dynamics_replay_the_run(self, name):
        network = make(name)
        rollout = run(network)
        state, dynamics = rollout.initial_state, network.dynamics()
        for time in range(rollout.states.shape[1]):
            state = dynamics.step(state, rollout.inputs[:, time])
            np.testing.assert_allclose(rollout.states[:, time], state, atol=1e-12)

    def test_probe_proves_the_dynamics(self, name):
        network = make(name)
        probe = network.probe(run(network))
        assert len(probe.state) == 64
        assert network.dynamics().probe_error(probe) < 1e-12

    def test_outputs_are_the_readout_of_the_very_states(self, name):
        network = make(name)
        rollout = run(network, noise_seed=3)
        np.testing.assert_allclose(rollout.outputs, network.readout().evaluate(rollout.states), atol=1e-12)

    def test_without_a_generator_there_is_no_noise(self, name):
        network = make(name, noise_std=1.0, initial_noise_std=1.0)
        np.testing.assert_array_equal(run(network).states, run(network).states)
        np.testing.assert_array_equal(run(network).initial_state, np.zeros((4, UNITS)))

    def test_gradients_reach_every_parameter(self, name):
        network = make(name, initial_state="learned", state_norm_weight=0.1)
        rollout = network.run(drive().float(), generator(0, "noise"))
        (rollout.outputs.square().mean() + sum(network.penalty(rollout).values())).backward()
        for parameter_name, parameter in network.named_parameters():
            assert parameter.grad is not None, parameter_name
            assert parameter.grad.abs().max() > 0, parameter_name

    def test_weights_come_from_the_seed_alone(self, name):
        before = torch.get_rng_state()
        first, again, other = (make(name, seed=seed).state_dict() for seed in (0, 0, 1))
        assert torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(first[key], again[key]) for key in first)
        assert not torch.equal(first["readout_weight"], other["readout_weight"])


def test_leak_is_plain_decay():
    # The leak was once multiplied by the recurrent weights.
    network = build(LeakyRNNConfig(units=UNITS, alpha=0.3, initial_state="learned"), INPUTS, OUTPUTS, seed=0)
    with torch.no_grad():
        for parameter in (network.weight_input, network.weight_state, network.bias):
            parameter.zero_()
        network.start.fill_(2.0)
    states = run(network).states
    expected = 2.0 * 0.7 ** np.arange(1, 8)
    np.testing.assert_allclose(states, np.broadcast_to(expected[None, :, None], states.shape))


def test_leaky_network_follows_its_equation_with_noise_inside():
    network = make("leaky_rnn", noise_std=0.5).double()
    inputs, start = drive(), torch.ones(4, UNITS, dtype=torch.float64)
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 7, UNITS)))
    with torch.no_grad():
        states = array(network.advance(inputs, start, noise))
    w, u, b = (array(p) for p in (network.weight_state, network.weight_input, network.bias))
    state = np.ones((4, UNITS))
    for time in range(7):
        argument = state @ w.T + array(inputs[:, time]) @ u.T + b + array(noise[:, time])
        state = 0.8 * state + 0.2 * np.tanh(argument)
        np.testing.assert_allclose(states[:, time], state, atol=1e-12)


def test_noise_of_the_leaky_network_is_exported_at_its_largest_gain():
    assert make("leaky_rnn", noise_std=0.5, alpha=0.3).dynamics().noise_std == pytest.approx(0.15)
    assert make("vanilla_rnn", noise_std=0.5).dynamics().noise_std == 0.5


def test_process_noise_is_what_the_states_hold_beyond_the_dynamics():
    network = make("noisy_gru", noise_std=0.2)
    rollout = run(network, noise_seed=1, n_trials=300, n_time=20)
    before = np.concatenate([rollout.initial_state[:, None], rollout.states[:, :-1]], axis=1)
    noise = rollout.states - network.dynamics().step(before, rollout.inputs)
    assert noise.std() == pytest.approx(0.2, rel=0.02)
    assert network.dynamics().noise_std == 0.2


def test_initial_states_are_learned_and_noisy():
    network = make("gru", initial_noise_std=0.3)
    with torch.no_grad():
        network.start.copy_(torch.arange(UNITS))
    states = array(network.initial_states(5000, generator(0, "noise")))
    np.testing.assert_allclose(states.mean(axis=0), np.arange(UNITS), atol=0.03)
    np.testing.assert_allclose(states.std(axis=0), 0.3, rtol=0.05)
    assert network.start.requires_grad
    assert not make("vanilla_rnn").start.requires_grad


def test_published_penalty_is_the_norm_of_a_trial_averaged_over_the_batch():
    network = make("noisy_gru_l2", state_norm_weight=0.5)
    rollout = run(network)
    expected = 0.5 * np.mean([np.sqrt(np.sum(trial**2)) for trial in rollout.states])
    penalty = network.penalty(rollout.map(torch.from_numpy))
    assert list(penalty) == ["state_norm"]
    assert float(penalty["state_norm"]) == pytest.approx(expected)
    assert make("noisy_gru").penalty(rollout) == {}
    assert NETWORKS["noisy_gru_l2"]().state_norm_weight == 1e-6


def test_node_of_one_layer_is_a_linear_field():
    network = build(NODEConfig(units=UNITS, layers=1), INPUTS, OUTPUTS, seed=0)
    assert len(network.weights) == 1
    rollout = run(network)
    jacobian = network.dynamics().jacobian_state(rollout.states[:, 0], rollout.inputs[:, 0])
    expected = np.eye(UNITS) + 0.1 * array(network.weights[0])[:, :UNITS]
    np.testing.assert_allclose(jacobian, np.broadcast_to(expected, jacobian.shape))


def test_node_starts_with_a_small_readout_and_no_bias():
    network = build(NODEConfig(units=500), INPUTS, 40, seed=0)
    assert float(network.readout_weight.detach().std()) == pytest.approx(0.01, rel=0.03)
    assert not network.readout_bias.any()


def test_published_defaults():
    units = {name: config().units for name, config in NETWORKS.items()}
    assert units == dict.fromkeys(NETWORKS, 128) | {"node": 3}
    assert (NoisyGRUConfig().noise_std, NoisyGRUConfig().initial_noise_std) == (0.01, 0.05)
    assert (LeakyRNNConfig().noise_std, LeakyRNNConfig().alpha) == (0.05, 0.2)


@pytest.mark.parametrize(
    ("make_config", "message"),
    [
        (lambda: NoisyGRUConfig(units=0), "units must be at least 1, got 0"),
        (lambda: NoisyGRUConfig(noise_std=-1), "noise_std"),
        (lambda: NoisyGRUConfig(initial_state="one"), "learned, zero, got 'one'"),
        (lambda: LeakyRNNConfig(alpha=0), "alpha"),
        (lambda: NODEConfig(layers=0), "layers"),
    ],
)
def test_settings_out_of_range_are_refused(make_config, message):
    with pytest.raises(ValueError, match=message):
        make_config()


def test_settings_of_no_network_are_refused():
    with pytest.raises(TypeError, match="noisy_gru"):
        build(NetworkConfig(), 1, 1, seed=0)
