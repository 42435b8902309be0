"""Tasks as gymnasium environments."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import ctd_tasks
from ctd_tasks import FlipFlop, TaskEnvironment


@pytest.mark.filterwarnings("ignore:.*A Box observation space m.*:UserWarning")
@pytest.mark.filterwarnings("ignore:.*For Box action spaces, we recommend.*:UserWarning")
def test_passes_the_checker_of_gymnasium():
    environment = gymnasium.make("ctd/FlipFlop-v0", n_bits=2, n_time=30)
    check_env(environment.unwrapped)
    assert environment.observation_space.shape == environment.action_space.shape == (2,)


def test_steps_agree_with_the_vectorised_trials():
    task = FlipFlop(n_bits=2, n_time=40, switch_probability=0.1)
    trials = task.generate(2, seed=7, stream="environment")
    actions = np.random.default_rng(0).normal(size=trials.targets.shape).astype(np.float32)
    environment = gymnasium.make("ctd/FlipFlop-v0", n_bits=2, n_time=40, switch_probability=0.1)
    for trial in range(2):
        observation, info = environment.reset(seed=7 if trial == 0 else None)
        rewards = []
        for time in range(40):
            np.testing.assert_array_equal(observation, trials.inputs[trial, time])
            np.testing.assert_array_equal(info["target"], trials.targets[trial, time])
            np.testing.assert_array_equal(info["mask"], trials.mask[trial, time])
            observation, reward, terminated, truncated, info = environment.step(actions[trial, time])
            rewards.append(reward)
            assert (terminated, truncated) == (time == 39, False)
        error = (actions[trial] - trials.targets[trial]) ** 2 * trials.mask[trial]
        assert np.mean(rewards) == pytest.approx(-error.mean(), rel=1e-5)


def test_rewards_sum_to_the_loss():
    task = FlipFlop(n_time=25)
    trials = task.generate(1, seed=0, stream="train")
    rewards = [task.reward(np.full(3, 0.3), trials, time) for time in range(25)]
    outputs = np.full((1, 25, 3), 0.3)
    loss = task.loss(ctd_tasks.Rollout(None, None, None, outputs), trials)["error"]
    assert -np.mean(rewards) == pytest.approx(float(loss), rel=1e-5)


def test_without_a_seed_two_environments_differ():
    first, second = (TaskEnvironment("flip_flop").reset()[0] for _ in range(2))
    assert not np.array_equal(first, second)


def test_a_step_after_the_end_says_what_to_do():
    environment = TaskEnvironment(FlipFlop(n_time=1))
    environment.reset(seed=0)
    environment.step(np.zeros(3))
    with pytest.raises(RuntimeError, match=r"call reset\(\)"):
        environment.step(np.zeros(3))


def test_options_go_with_a_name_only():
    with pytest.raises(TypeError, match="n_bits"):
        TaskEnvironment(FlipFlop(), n_bits=2)


def test_a_name_is_taken_once():
    class Impostor(FlipFlop):
        pass

    with pytest.raises(ValueError, match="another task is called 'flip_flop'"):
        ctd_tasks.register(Impostor)
