import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ctd_contract.torch.batches import TensorBatches
from ctd_contract.torch.checkpoint import load_checkpoint
from ctd_contract.torch.random import generator
from ctd_contract.torch.training import NonFiniteLossError, TrainingConfig, TrainingModule, fit
from ctd_contract.torch.training.monitor import Monitor

SLOPES = torch.tensor([1.0, -2.0, 3.0])


class Regression(TrainingModule):
    """Linear regression with noise in the loss, a schedule, and what a test wants to go wrong."""

    def __init__(self, *, bad_epoch: int = -1, bad_term: str = "", pause_s: float = 0.0) -> None:
        super().__init__()
        self.slopes = torch.nn.Parameter(torch.zeros(3))
        self.bad_epoch, self.bad_term, self.pause_s = bad_epoch, bad_term, pause_s
        self.modes = set()

    def losses(self, batch, draw):
        self.modes.add(self.training)
        time.sleep(self.pause_s)
        noise = torch.randn(len(batch["x"]), generator=draw("noise"))
        error = (batch["x"] @ self.slopes - batch["y"] + 0.5 * noise).square().mean()
        terms = {"error": error, "penalty": 1e-3 * self.slopes.square().sum()}
        if self.current_epoch == self.bad_epoch:
            terms[self.bad_term] = terms[self.bad_term] * float("nan")
        return terms

    def scores(self, batch):
        self.modes.add(self.training)
        return {"loss": (batch["x"] @ self.slopes - batch["y"]).square().mean(), "row": batch["row"].mean()}

    def make_schedule(self, optimizer, config):
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)


def data(trials=50):
    x = torch.randn(trials, 3, generator=generator(0, "data"))
    tensors = {"x": x, "y": x @ SLOPES, "row": torch.arange(trials, dtype=torch.float32)}
    return TensorBatches(tensors, 16, shuffle=True, seed=3), TensorBatches(tensors, 20, shuffle=False)


def config(**settings):
    return TrainingConfig(**({"max_epochs": 8, "learning_rate": 0.1, "tensorboard": False} | settings))


def train(folder, module=None, *, resume=False, seed=0, monitor="valid/loss", mode="min", **settings):
    module = module or Regression()
    options = {"seed": seed, "monitor": monitor, "mode": mode, "resume": resume}
    return fit(module, *data(), folder=folder, config=config(**settings), **options), module


def metrics(folder):
    with (Path(folder) / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def final_state(folder):
    checkpoint = load_checkpoint(Path(folder) / "checkpoints" / "last.safetensors")
    moments = checkpoint["optimizer_states"][0]["state"][0]
    return checkpoint["state_dict"]["slopes"], moments["exp_avg"], moments["exp_avg_sq"]


def test_training_learns_and_leaves_the_best_weights(tmp_path):
    result, module = train(tmp_path, max_epochs=40)
    table = metrics(tmp_path)
    losses = [float(row["valid/loss"]) for row in table]
    assert result.reason == "all epochs done"
    assert result.epochs == len(table) == 40
    assert result.best_score == min(losses) < 0.05
    assert result.best_epoch == losses.index(min(losses)) + 1
    best = load_checkpoint(result.best_checkpoint)
    assert torch.equal(best["state_dict"]["slopes"], module.slopes)
    assert best["epoch"] == result.best_epoch - 1
    assert module.modes == {True, False}


def test_metrics_are_means_over_trials_and_the_loss_is_the_sum_of_its_terms(tmp_path):
    train(tmp_path, max_epochs=1)
    (row,) = metrics(tmp_path)
    # Batches of 20, 20 and 10: the mean of their means would be 27.8.
    assert float(row["valid/row"]) == pytest.approx(24.5)
    assert float(row["train/loss"]) == pytest.approx(float(row["train/error"]) + float(row["train/penalty"]))


def test_the_same_seed_gives_the_same_bits_and_another_one_others(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.randn(3)  # Draws from the global stream change nothing.
        train(tmp_path / name, seed=seed)
    a, b, c = (final_state(tmp_path / name) for name in "abc")
    assert all(map(torch.equal, a, b))
    assert not torch.equal(a[0], c[0])
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")


SCRIPT = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("own", sys.argv[1])
own = importlib.util.module_from_spec(spec)
spec.loader.exec_module(own)
own.torch.set_num_threads(1)
own.train(sys.argv[2], own.Regression(pause_s=0.02), max_epochs=60, smoothing=0.5)
"""


@pytest.mark.slow
def test_a_killed_run_continues_to_the_same_bits(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, __file__, str(tmp_path / "killed")])
    table = tmp_path / "killed" / "metrics.csv"
    while not (table.exists() and table.read_text().count("\n") > 6):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert load_checkpoint(tmp_path / "killed" / "checkpoints" / "last.safetensors")["epoch"] < 58
    resumed, _ = train(tmp_path / "killed", resume=True, max_epochs=60, smoothing=0.5)
    whole, _ = train(tmp_path / "whole", max_epochs=60, smoothing=0.5)
    torch.set_num_threads(threads)
    assert all(map(torch.equal, final_state(tmp_path / "killed"), final_state(tmp_path / "whole")))
    assert metrics(tmp_path / "killed") == metrics(tmp_path / "whole")
    assert (resumed.best_epoch, resumed.best_score) == (whole.best_epoch, whole.best_score)


def test_more_epochs_continue_a_finished_run_to_the_same_bits(tmp_path):
    train(tmp_path / "parts", max_epochs=3)
    train(tmp_path / "parts", max_epochs=8, resume=True)
    train(tmp_path / "whole", max_epochs=8)
    assert all(map(torch.equal, final_state(tmp_path / "parts"), final_state(tmp_path / "whole")))
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")


def test_a_finished_run_is_not_trained_again(tmp_path):
    result, module = train(tmp_path)
    stamp = result.last_checkpoint.stat().st_mtime_ns
    again, other = train(tmp_path, resume=True)
    assert again == result
    assert result.last_checkpoint.stat().st_mtime_ns == stamp
    assert torch.equal(module.slopes, other.slopes)


def test_resuming_with_other_settings_is_refused(tmp_path):
    train(tmp_path, max_epochs=2)
    with pytest.raises(ValueError, match=r"had learning_rate=0\.1, now it is 0\.2"):
        train(tmp_path, resume=True, learning_rate=0.2)


def test_without_resume_a_run_starts_over(tmp_path):
    train(tmp_path, max_epochs=6)
    result, _ = train(tmp_path, max_epochs=2)
    assert result.epochs == len(metrics(tmp_path)) == 2


@pytest.mark.parametrize("term", ["error", "penalty"])
def test_the_first_bad_term_stops_the_run_and_the_last_good_checkpoint_stays(tmp_path, term):
    with pytest.raises(NonFiniteLossError, match=rf"'{term}' is nan in epoch 4, step 1; .*last\.safetensors"):
        train(tmp_path, Regression(bad_epoch=3, bad_term=term))
    checkpoint = load_checkpoint(tmp_path / "checkpoints" / "last.safetensors")
    assert checkpoint["epoch"] == 2
    assert checkpoint["state_dict"]["slopes"].isfinite().all()
    assert len(metrics(tmp_path)) == 3


def test_a_bad_term_before_any_checkpoint_says_so(tmp_path):
    with pytest.raises(NonFiniteLossError, match="no checkpoint before it"):
        train(tmp_path, Regression(bad_epoch=0, bad_term="error"))


class Interrupted(Regression):
    """A user's Ctrl-C in the third epoch."""

    def losses(self, batch, draw):
        if self.current_epoch == 2:
            raise KeyboardInterrupt
        return super().losses(batch, draw)


def test_an_interrupt_stays_an_interrupt(tmp_path, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)  # Lightning would ignore all further ones
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Interrupted())
    assert load_checkpoint(tmp_path / "checkpoints" / "last.safetensors")["epoch"] == 1


def test_parameters_that_overflow_are_refused(tmp_path):
    with pytest.raises(NonFiniteLossError, match=r"last good|no checkpoint"):
        train(tmp_path, learning_rate=1e39)


def test_checks_come_at_their_interval(tmp_path):
    result, _ = train(tmp_path, max_epochs=8, check_interval=3)
    assert [row["epoch"] for row in metrics(tmp_path)] == ["3", "6"]
    assert result.epochs == 6


def test_training_stops_at_the_target(tmp_path):
    result, _ = train(tmp_path, max_epochs=60, target=0.5)
    losses = [float(row["valid/loss"]) for row in metrics(tmp_path)]
    assert result.reason == "reached the target 0.5"
    assert losses[-1] <= 0.5 < min(losses[:-1])


def test_an_unknown_monitor_lists_what_there_is(tmp_path):
    with pytest.raises(
        ValueError, match="to monitor; there are train/error, train/penalty, train/loss, valid/"
    ):
        train(tmp_path, monitor="valid/accuracy")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"max_epochs": 0}, "max_epochs is above 0"),
        ({"smoothing": 1.0}, "smoothing is in"),
        ({"patience": 0}, "patience"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, setting, message):
    with pytest.raises(ValueError, match=message):
        train(tmp_path, **setting)


def test_nothing_but_the_progress_line_is_written(tmp_path, capfd):
    train(tmp_path)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert captured.err.startswith("training 8/8")


def test_tensorboard_gets_the_metrics(tmp_path):
    train(tmp_path, tensorboard=True, max_epochs=2)
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))


def run_monitor(scores, mode="max", **settings):
    monitor, settings = Monitor(), TrainingConfig(**({"max_epochs": 100} | settings))
    for epoch, score in enumerate(scores, start=1):
        monitor.update(epoch, score, mode, settings)
        if monitor.reason:
            return epoch, monitor
    return None, monitor


def test_patience_counts_checks_since_the_best():
    stopped, monitor = run_monitor([1.0, 3.0, 2.0, 2.5, 3.0, 9.0], patience=3)
    assert (stopped, monitor.best_epoch, monitor.best_score) == (5, 2, 3.0)
    assert monitor.reason == "no improvement in 3 checks"


def test_patience_waits_for_the_first_epochs_and_min_delta_for_a_real_gain():
    assert run_monitor([3.0, 1.0, 1.0, 1.0, 1.0], patience=1, min_epochs=4)[0] == 4
    assert run_monitor([1.0, 1.05, 1.1, 1.15], patience=3, min_delta=0.2)[0] == 4
    assert run_monitor([1.0, 0.9, 0.8], mode="min", patience=1)[0] is None


def test_smoothing_is_a_running_mean():
    _, monitor = run_monitor([1.0, 0.0, 0.0], mode="min", smoothing=0.5)
    assert monitor.best_score == 0.25


def test_a_score_that_is_no_number_is_never_the_best():
    _, monitor = run_monitor([float("nan"), 1.0, float("inf"), 0.5], patience=10)
    assert (monitor.best_epoch, monitor.best_score) == (2, 1.0)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"gradient_clip": 0.0}, "gradient_clip is above 0 or null, got 0.0"),
        ({"accelerator": "tpuu"}, "accelerator is auto, cpu or gpu, got tpuu"),
        ({"wandb": "project"}, "wandb needs `pip install wandb`"),
    ],
)
def test_settings_out_of_range_are_named(monkeypatch, setting, said):
    monkeypatch.setattr("ctd_contract.torch.training.config.find_spec", lambda _: None)
    with pytest.raises(ValueError, match=re.escape(said)):
        TrainingConfig(**setting).check()
