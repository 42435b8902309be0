"""Matplotlib without a display, and a task small enough to be trained in a test."""

import matplotlib
import pytest

from ctd_tasks import FlipFlop
from ctd_tasks.config import TaskTrainingConfig

matplotlib.use("agg")


@pytest.fixture
def task():
    return FlipFlop(n_bits=1, n_time=25, switch_probability=0.05)


@pytest.fixture
def training():
    return TaskTrainingConfig(
        max_epochs=6,
        n_train=60,
        n_valid=40,
        batch_size=20,
        check_interval=1,
        accelerator="cpu",
        tensorboard=False,
        figure_interval=None,
    )
