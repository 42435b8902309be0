"""Settings of the training runner."""

from dataclasses import dataclass
from importlib.util import find_spec


@dataclass
class TrainingConfig:
    """How a module is trained; epochs and checks are counted from 1.

    Attributes:
        max_epochs: Epochs at most, rounded down to whole check intervals.
        learning_rate: Of Adam.
        weight_decay: L2 penalty inside Adam's gradient; 0 for none.
        gradient_clip: Largest norm of the gradient over all parameters; None for no limit.
        check_interval: Epochs between two checks; a check scores the validation trials, writes metrics.csv
            and checkpoints, and may stop the run.
        patience: Checks without improvement after which the run stops; None never stops for that.
        min_delta: A monitored score that improves by no more than this counts as none.
        min_epochs: No early stop before so many epochs.
        target: The run stops once the monitored score is at least as good as this; None never stops for that.
        smoothing: Weight of the past in the monitored score's running mean, in [0, 1); 0 for none.
        accelerator: ``"auto"`` takes a GPU where there is one; or ``"cpu"``, ``"gpu"``.
        precision: ``"32-true"``, ``"64-true"`` or ``"bf16-mixed"``.
        tensorboard: Write TensorBoard logs besides metrics.csv.
        wandb: Weights & Biases project that gets the metrics too; None needs no account.
    """

    max_epochs: int = 1000
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    gradient_clip: float | None = 1.0
    check_interval: int = 1
    patience: int | None = None
    min_delta: float = 0.0
    min_epochs: int = 0
    target: float | None = None
    smoothing: float = 0.0
    accelerator: str = "auto"
    precision: str = "32-true"
    tensorboard: bool = True
    wandb: str | None = None

    @property
    def checked_epochs(self) -> int:
        """Epochs up to the last check, at which a run ends at the latest."""
        interval = min(self.check_interval, self.max_epochs)
        return self.max_epochs // interval * interval

    def check(self) -> None:
        """Raise ValueError for a setting out of range, saying what is valid."""
        import torch  # not above: settings are shown without it

        positive = ("max_epochs", "learning_rate", "check_interval")
        rules = [(f"{name} is above 0", getattr(self, name) > 0, getattr(self, name)) for name in positive]
        rules += [
            ("weight_decay is at least 0", self.weight_decay >= 0, self.weight_decay),
            (
                "gradient_clip is above 0 or null",
                self.gradient_clip is None or self.gradient_clip > 0,
                self.gradient_clip,
            ),
            ("patience is at least 1 or null", self.patience is None or self.patience >= 1, self.patience),
            ("smoothing is in [0, 1)", 0 <= self.smoothing < 1, self.smoothing),
            (
                "precision is one of 32-true, 64-true, bf16-mixed",
                self.precision in PRECISIONS,
                self.precision,
            ),
            ("accelerator is auto, cpu or gpu", self.accelerator in ACCELERATORS, self.accelerator),
            (
                "accelerator=gpu needs a GPU that torch can use, auto takes one where there is one",
                self.accelerator != "gpu" or torch.cuda.is_available(),
                self.accelerator,
            ),
            ("wandb needs `pip install wandb`", not self.wandb or find_spec("wandb"), self.wandb),
        ]
        for rule, holds, value in rules:
            if not holds:
                raise ValueError(f"{rule}, got {value}")


ACCELERATORS = ("auto", "cpu", "gpu")
PRECISIONS = ("32-true", "64-true", "bf16-mixed")
