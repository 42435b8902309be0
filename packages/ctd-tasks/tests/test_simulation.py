"""The task file: what was run is what is stored, and the dynamics in it replay it."""

import numpy as np
import pytest

import ctd_contract as cc
from ctd_contract.validation import validate
from ctd_tasks import FlipFlop
from ctd_tasks.config import SimulationConfig
from ctd_tasks.networks import NETWORKS, NoisyGRUConfig, build
from ctd_tasks.simulation import simulate, splits, write_task

N_TRIALS = 300


def make_network(task, config=NoisyGRUConfig(units=8, noise_std=0.1), seed=0):  # noqa: B008 - never changed
    return build(config, len(task.input_names), len(task.output_names), seed=seed)


def write(path, task, network=None, *, n_trials=N_TRIALS, seed=3, **options):
    network = network or make_network(task)
    score = write_task(path, network, task, config=SimulationConfig(n_trials=n_trials), seed=seed, **options)
    return network, score


@pytest.fixture
def written(task, tmp_path):
    network, score = write(tmp_path / "task.h5", task, run="run 1", provenance={"a": 1})
    with cc.open(tmp_path / "task.h5") as file:
        yield file, task, network, score


def test_the_file_is_valid(written, tmp_path):
    assert validate(tmp_path / "task.h5", level="full") == []
    file, task, _, _ = written
    assert (file.kind, file.name) == ("task", "flip_flop")
    assert file.sizes["trial"] == N_TRIALS
    assert list(file.names("input")) == ["pulse 0"]
    assert list(file.names("target")) == list(file.names("output")) == ["bit 0"]
    assert (file.provenance.seed, file.provenance.run, file.provenance.config["a"]) == (3, "run 1", 1)
    np.testing.assert_allclose(file.time, 0.01 * np.arange(task.n_time))


def test_trials_are_those_of_the_simulation_stream(written):
    file, task, _, _ = written
    trials = task.generate(N_TRIALS, seed=3, stream="simulation")
    for name in ("inputs", "inputs_clean", "targets"):
        np.testing.assert_array_equal(file.signals[name][:], getattr(trials, name))


def test_outputs_are_the_readout_of_the_stored_states(written):
    # Stored states were once drawn anew, with noise that never made the outputs.
    file, _, _, _ = written
    expected = file.readout().evaluate(file.signals["states"][:])
    np.testing.assert_allclose(file.signals["outputs"][:], expected, atol=1e-5)


def test_stored_dynamics_leave_only_the_process_noise(written):
    file, _, _, _ = written
    states, inputs = (file.signals[name][:].astype(float) for name in ("states", "inputs"))
    before = np.concatenate([file.signals["initial_state"][:][:, None].astype(float), states[:, :-1]], axis=1)
    dynamics = file.dynamics()
    noise = states - dynamics.step(before, inputs)
    assert dynamics.noise_std == 0.1
    assert noise.std() == pytest.approx(0.1, rel=0.02)
    assert abs(noise.mean()) < 0.005


@pytest.mark.parametrize("name", NETWORKS)
def test_without_noise_the_stored_dynamics_replay_every_bin(name, tmp_path):
    task = FlipFlop(n_bits=2, n_time=20, switch_probability=0.1)
    config = NETWORKS[name](units=5, noise_std=0.0, initial_noise_std=0.2)
    write(tmp_path / "task.h5", task, make_network(task, config), n_trials=20)
    with cc.open(tmp_path / "task.h5") as file:
        state, dynamics = file.signals["initial_state"][:], file.dynamics()
        inputs, states = file.signals["inputs"][:], file.signals["states"][:]
        for time in range(20):
            state = dynamics.step(state, inputs[:, time])
            np.testing.assert_allclose(states[:, time], state, atol=2e-5)
    assert np.std(states[:, 0], axis=0).min() > 0


def test_the_simulation_may_have_a_noise_of_its_own(task, tmp_path):
    """As if the network had that noise; the network itself keeps its own."""
    loud, quiet = (make_network(task, NoisyGRUConfig(units=8, noise_std=std)) for std in (0.3, 0.02))
    config = SimulationConfig(n_trials=20, noise_std=0.02)
    write_task(tmp_path / "loud.h5", loud, task, config=config, seed=0)
    write_task(tmp_path / "quiet.h5", quiet, task, config=SimulationConfig(n_trials=20), seed=0)
    with cc.open(tmp_path / "loud.h5") as a, cc.open(tmp_path / "quiet.h5") as b:
        np.testing.assert_array_equal(a.signals["states"][:], b.signals["states"][:])
        assert a.dynamics().noise_std == 0.02
    assert loud.config.noise_std == 0.3


def test_success_is_stored_per_trial(written):
    file, task, _, score = written
    trials = task.generate(N_TRIALS, seed=3, stream="simulation")
    counted = trials.mask > 0
    changed = np.diff(trials.targets, axis=1, prepend=0) != 0
    right = (file.signals["outputs"][:] > 0.5) == (trials.targets > 0.5)
    assert score.success == pytest.approx(right[counted & ~changed].mean())
    success, decisions = (file.tables["trials"][name] for name in ("success", "decisions"))
    assert np.sum(success * decisions) / decisions.sum() == pytest.approx(score.success, rel=1e-5)


def test_splits_have_exact_shares_in_random_order():
    values = splits(SimulationConfig(n_trials=1000), seed=0)
    assert np.bincount(values).tolist() == [700, 100, 200]
    assert np.bincount(values[:500]).min() > 20
    assert not np.array_equal(values, splits(SimulationConfig(n_trials=1000), seed=1))
    assert np.bincount(splits(SimulationConfig(n_trials=7, train=1, valid=0), seed=0)).tolist() == [7]


def test_a_longer_simulation_begins_with_the_shorter_one(task):
    network = make_network(task)
    short = [rollout.states for _, rollout in simulate(network, task, 20, seed=0)]
    long = [rollout.states for _, rollout in simulate(network, task, 300, seed=0)]
    assert [len(block) for block in long] == [256, 44]
    np.testing.assert_allclose(long[0][:20], short[0], atol=1e-6)
    assert np.abs(long[0][:44] - long[1]).max() > 0.1


def test_seed_decides_on_the_digest(task, tmp_path):
    digests = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write(tmp_path / f"{name}.h5", task, n_trials=10, seed=seed)
        with cc.open(tmp_path / f"{name}.h5") as file:
            digests.append(file.digest)
    assert digests[0] == digests[1] != digests[2]


def test_stimulation_is_stored_as_input_condition_and_phase(tmp_path):
    task = FlipFlop(n_time=40, simulation_stimulation_probability=0.5)
    write(tmp_path / "task.h5", task)
    assert validate(tmp_path / "task.h5", level="full") == []
    with cc.open(tmp_path / "task.h5") as file:
        condition = file.tables["trials"]["condition"]
        assert file.names("condition")[0] == "no stimulation"
        assert set(condition) == {0, 1, 2, 3}
        clean = file.signals["inputs_clean"][:]
        stimulus, bit = file.tables["trials"]["stimulus"], file.tables["trials"]["stimulated_bit"]
        for trial in np.flatnonzero(condition > 0)[:20]:
            start, stop = file.phases["stimulation"][trial]
            rest = clean[trial, start:stop, bit[trial]] - stimulus[trial]
            np.testing.assert_allclose(rest, np.round(rest), atol=1e-6)
        # The network sees the stimulus, so it is no perturbation in the contract's sense.
        assert "perturbations" not in file.signals


@pytest.mark.parametrize(
    ("name", "value"), [("n_trials", 0), ("train", 0.95), ("valid", -0.1), ("noise_std", -1)]
)
def test_settings_out_of_range_are_refused(task, tmp_path, name, value):
    config = SimulationConfig(**{name: value})
    with pytest.raises(ValueError, match=name):
        write_task(tmp_path / "task.h5", make_network(task), task, config=config, seed=0)
    assert list(tmp_path.iterdir()) == []
