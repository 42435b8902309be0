"""Task files by themselves: a generator elsewhere can be checked against what they hold, and nothing else."""

import gymnasium
import numpy as np
import pytest

import ctd_contract as cc
from ctd_contract.validation import validate
from ctd_tasks import BitMemory, ContextIntegration, SineGeneration
from ctd_tasks.cli import COMMAND
from ctd_tasks.config import SimulationConfig
from ctd_tasks.networks import GRUConfig, build
from ctd_tasks.simulation import write_task

TASKS = {
    "bit_memory": BitMemory(pulse_probability=0.4, noise_std=0.1),
    "context": ContextIntegration(switch_probability=0.5),
    "context on the grid": ContextIntegration(simulation_biases="grid", simulation_switch_probability=0.3),
    "sine_generation": SineGeneration(n_time=40, noise_std=0.05),
}


@pytest.fixture(params=TASKS)
def written(request, tmp_path):
    task = TASKS[request.param]
    network = build(GRUConfig(units=4), len(task.input_names), len(task.output_names), seed=0)
    write_task(tmp_path / "task.h5", network, task, config=SimulationConfig(n_trials=300), seed=5)
    assert validate(tmp_path / "task.h5", level="full") == []
    with cc.open(tmp_path / "task.h5") as file:
        yield file, task.for_simulation()


def targets_from_file(file):
    """What the file's inputs and configuration ask for, bin by bin."""
    settings = file.provenance.config["task"]
    inputs, clean = file.signals["inputs"][:], file.signals["inputs_clean"][:]
    targets = np.zeros((*inputs.shape[:2], file.sizes["target"]))
    memory = np.full((len(inputs), file.sizes["target"]), -1.0)
    total = np.zeros(len(inputs))
    for time in range(inputs.shape[1]):
        if settings["name"] == "bit_memory":
            down, up = clean[:, time, 0::2], clean[:, time, 1::2]
            memory = np.where(up + down > 0, up - down, memory)
            targets[:, time] = memory
        elif settings["name"] == "context_integration":
            total += np.sum(inputs[:, time, :2] * inputs[:, time, 2:], axis=1)
            targets[:, time, 0] = total
        else:
            targets[:, time] = np.sin(2 * np.pi * clean[:, time] * file.time[time])
    return targets


def test_targets_follow_from_the_inputs_in_the_file(written):
    file, _ = written
    np.testing.assert_allclose(file.signals["targets"][:], targets_from_file(file), atol=3e-6)


def test_the_mask_is_the_phase_scored(written):
    file, task = written
    trials = task.generate(300, seed=5, stream="simulation")
    start, stop = file.phases["scored"][:, :, None].transpose(1, 0, 2)
    time = np.arange(task.n_time)
    mask = (time >= start) & (time < stop)
    np.testing.assert_array_equal(np.broadcast_to(mask[:, :, None], trials.mask.shape), trials.mask)
    np.testing.assert_array_equal(file.tables["trials"]["decisions"], trials.mask.sum(axis=(1, 2)))


def test_configuration_and_seed_give_the_same_trials_again(written):
    file, task = written
    settings = dict(file.provenance.config["task"])
    again = type(task)(**{k: v for k, v in settings.items() if k != "name"}).for_simulation()
    trials = again.generate(300, seed=file.provenance.seed, stream="simulation")
    for name in ("inputs", "inputs_clean", "targets"):
        np.testing.assert_array_equal(file.signals[name][:], getattr(trials, name))
    for name, values in trials.columns.items():
        np.testing.assert_array_equal(file.tables["trials"][name], values)
    assert list(file.names("input")) == list(task.input_names)
    if task.condition_names:
        assert file.names("condition") == list(task.condition_names)


@pytest.mark.parametrize("name", ["bit_memory", "context_integration", "sine_generation"])
def test_the_command_and_gymnasium_know_the_task(name, tmp_path):
    sizes = ["training.n_train=20", "training.n_valid=10", "training.max_epochs=1", "simulation.n_trials=5"]
    arguments = [f"task={name}", "network=gru", "network.units=4", "training.accelerator=cpu", *sizes]
    assert COMMAND.invoke([*arguments, "training.tensorboard=false", f"out={tmp_path / 'run'}"]) == 0
    with cc.open(tmp_path / "run" / "task.h5") as file:
        assert file.provenance.config["task"]["name"] == file.name == name
        targets = targets_from_file(file)
        np.testing.assert_allclose(file.signals["targets"][:], targets, atol=3e-6)
    environment = gymnasium.make(f"ctd/{name.title().replace('_', '')}-v0")
    observation, info = environment.reset(seed=1)
    assert observation.shape == environment.observation_space.shape
    assert info["target"].shape == environment.action_space.shape
