"""Settings of training, simulation and the command. Needs no Lightning."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctd_contract.command import CommandConfig
from ctd_contract.torch.training.config import TrainingConfig
from ctd_tasks.networks.config import NetworkConfig, NoisyGRUConfig
from ctd_tasks.tasks import FlipFlop, Task


@dataclass
class TaskTrainingConfig(TrainingConfig):
    """How a network is trained on a task.

    Attributes:
        n_train: training trials, drawn once.
        n_valid: validation trials, from a stream of their own.
        batch_size: trials in a step.
        final_learning_rate: where half a cosine over all epochs takes the learning rate; null: constant.
        figure_interval: epochs between figures of trials and of the state space; null for none in training.
    """

    max_epochs: int = 60
    learning_rate: float = 2e-2
    gradient_clip: float | None = 1.0
    check_interval: int = 5
    n_train: int = 800
    n_valid: int = 200
    batch_size: int = 50
    final_learning_rate: float | None = 1e-4
    figure_interval: int | None = 20

    def check(self) -> None:
        """Raise ValueError for a setting out of range, saying what is valid."""
        super().check()
        for name in ("n_train", "n_valid", "batch_size", "figure_interval"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is at least 1, got {value}")


@dataclass
class SimulationConfig:
    """The trials that the trained network is run through, and that the task file holds.

    Attributes:
        n_trials: their number.
        train: fraction of them in the split train.
        valid: fraction in the split valid; the rest is test.
        noise_std: standard deviation of the process noise; null for the network's own. More noise in training
            than here makes a network's memories stable.
    """

    n_trials: int = 1000
    train: float = 0.7
    valid: float = 0.1
    noise_std: float | None = None

    def check(self) -> None:
        """Raise ValueError for a setting out of range, saying what is valid."""
        if self.n_trials < 1:
            raise ValueError(f"simulation.n_trials is at least 1, got {self.n_trials}")
        if self.noise_std is not None and self.noise_std < 0:
            raise ValueError(f"simulation.noise_std must not be negative, got {self.noise_std}")
        if min(self.train, self.valid) < 0 or self.train + self.valid > 1:
            raise ValueError(
                f"simulation.train and simulation.valid are fractions with a sum of at most 1, "
                f"got {self.train} and {self.valid}"
            )


@dataclass
class TasksConfig(CommandConfig):
    """Settings of the command `ctd-tasks`."""

    task: Task = field(default_factory=FlipFlop)
    network: NetworkConfig = field(default_factory=NoisyGRUConfig)
    training: TaskTrainingConfig = field(default_factory=TaskTrainingConfig)
    simulation: SimulationConfig = field(default_factory=SimulationConfig)
