"""Training: it learns, keeps its seeds apart, and goes on after an interruption as if there had been none."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import pytorch_lightning as lightning
import torch

from ctd_contract.torch.batches import TensorBatches
from ctd_tasks import FlipFlop
from ctd_tasks.networks import GRUConfig, NODEConfig, NoisyGRUConfig, build
from ctd_tasks.networks.base import array
from ctd_tasks.simulation import simulate
from ctd_tasks.training import TaskTraining, train


def fresh(task, *, seed=0, config=NoisyGRUConfig(units=8)):  # noqa: B008 - never changed
    return build(config, len(task.input_names), len(task.output_names), seed=seed)


def weights(network):
    return np.concatenate([array(parameter).ravel() for parameter in network.parameters()])


def test_a_network_learns_the_flip_flop(task, training, tmp_path):
    network = fresh(task, config=GRUConfig(units=16))
    sizes = {"max_epochs": 60, "n_train": 200, "n_valid": 200}
    config = replace(training, **sizes, check_interval=5, learning_rate=2e-2, target=0.99)
    result = train(network, task, folder=tmp_path, config=config)
    assert result.best_score >= 0.99
    assert result.reason == "reached the target 0.99"
    trials, rollout = next(simulate(network, task, 200, seed=0))
    assert task.success(rollout, trials).success > 0.97


def test_metrics_are_written_at_every_check(task, training, tmp_path):
    train(fresh(task), task, folder=tmp_path, config=replace(training, max_epochs=4, check_interval=2))
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["2", "4"]
    assert {"train/error", "valid/loss", "valid/success"} < set(rows[0])


class _Interrupt(lightning.Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, pl_module):
        if pl_module.current_epoch == self.epoch:
            raise InterruptedError("pulled the plug")


def test_an_interrupted_run_ends_in_the_same_weights(task, training, tmp_path):
    whole, broken = fresh(task), fresh(task)
    expected = train(whole, task, folder=tmp_path / "whole", config=training)
    with pytest.raises(InterruptedError):
        train(broken, task, folder=tmp_path / "broken", config=training, callbacks=[_Interrupt(3)])
    again = fresh(task)
    result = train(again, task, folder=tmp_path / "broken", config=training, resume=True)
    np.testing.assert_array_equal(weights(again), weights(whole))
    assert (result.best_score, result.epochs) == (expected.best_score, expected.epochs)
    metrics = [(tmp_path / name / "metrics.csv").read_text() for name in ("whole", "broken")]
    assert metrics[0] == metrics[1]


def test_seed_decides_on_the_result(task, training, tmp_path):
    config = replace(training, max_epochs=1)
    results = []
    for k, seed in enumerate((0, 0, 1)):
        network = fresh(task)
        train(network, task, folder=tmp_path / str(k), config=config, seed=seed)
        results.append(weights(network))
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_training_and_validation_trials_have_streams_of_their_own(task, training, tmp_path, monkeypatch):
    asked = []
    generate = FlipFlop.generate

    def watched(self, n_trials, *, seed, stream):
        asked.append((n_trials, seed, stream))
        return generate(self, n_trials, seed=seed, stream=stream)

    monkeypatch.setattr(FlipFlop, "generate", watched)
    train(fresh(task), task, folder=tmp_path, config=replace(training, max_epochs=1), seed=4)
    assert asked == [(60, 4, "train"), (40, 4, "valid")]


def test_learning_rate_follows_half_a_cosine(task, training):
    config = replace(training, max_epochs=10, learning_rate=1e-2, final_learning_rate=1e-4)
    module = TaskTraining(fresh(task), task)
    optimizer = module.make_optimizer(config)
    schedule = module.make_schedule(optimizer, config)
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    middle = (1e-2 + 1e-4) / 2
    np.testing.assert_allclose([rates[0], rates[5], rates[10]], [1e-2, middle, 1e-4], rtol=1e-9)
    assert module.make_schedule(optimizer, replace(config, final_learning_rate=None)) is None


def test_gradients_are_clipped(task, training, tmp_path):
    norms = []

    class Watch(lightning.Callback):
        def on_train_batch_end(self, trainer, pl_module, *batch):
            grads = [p.grad.norm() for p in pl_module.parameters()]
            norms.append(float(torch.linalg.vector_norm(torch.stack(grads))))

    config = replace(training, max_epochs=2, gradient_clip=1e-3)
    train(fresh(task), task, folder=tmp_path, config=config, callbacks=[Watch()])
    assert max(norms) == pytest.approx(1e-3, rel=1e-3)


def test_the_penalty_of_the_network_is_a_term_of_its_own(task, training, tmp_path):
    network = fresh(task, config=NoisyGRUConfig(units=8, state_norm_weight=1e-3))
    train(network, task, folder=tmp_path, config=replace(training, max_epochs=1))
    assert "train/state_norm" in (tmp_path / "metrics.csv").read_text().splitlines()[0]


def test_a_node_of_one_layer_trains(task, training, tmp_path):
    network = fresh(task, config=NODEConfig(units=3, layers=1))
    before = weights(network)
    train(network, task, folder=tmp_path, config=replace(training, max_epochs=1))
    assert not np.array_equal(weights(network), before)


def test_validation_scores_are_those_of_the_task(task):
    network = fresh(task)
    trials = task.generate(30, seed=0, stream="valid")
    module = TaskTraining(network, task)
    tensors = trials.map(torch.from_numpy)
    scores = module.scores(
        next(TensorBatches(tensors.flat(), 30, shuffle=False).epoch(0, torch.device("cpu")))
    )
    again = module.scores(tensors.flat())
    assert scores == again
    assert 0 <= float(scores["success"]) <= 1


@pytest.mark.parametrize("name", ["n_train", "n_valid", "batch_size", "figure_interval", "max_epochs"])
def test_settings_out_of_range_are_refused(task, training, tmp_path, name):
    with pytest.raises(ValueError, match=name):
        train(fresh(task), task, folder=tmp_path, config=replace(training, **{name: 0}))
