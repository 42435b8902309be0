"""Settings that several models have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ctd_contract.command.config import CommandConfig
from ctd_contract.command.sessions import INDEX, RESULT, listed
from ctd_models_jax.checks import require_choice, require_positive, require_share

if TYPE_CHECKING:
    from ctd_models_jax.training import Stage


@dataclass
class OneStageConfig:
    """Training in one stage of Adam.

    Attributes:
        steps: Updates, rounded up to whole epochs.
        batch_size: Trials in a step.
        learning_rate: Peak of the schedule.
        schedule: ``cosine``, ``exponential`` or ``constant``.
        decay: Factor per step of an exponential schedule.
        warm_up: Share of the steps in which a cosine schedule rises.
        epsilon: Adam's.
        gradient_clip: Bound on the gradient's global norm.
        checkpoint_every: Epochs between two checkpoints.
    """

    steps: int = 1000
    batch_size: int = 64
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    decay: float = 0.9999
    warm_up: float = 0.05
    epsilon: float = 1e-8
    gradient_clip: float = 1.0
    checkpoint_every: int = 25

    def __post_init__(self) -> None:
        require_positive(self, "steps", "batch_size", "learning_rate", "decay", "epsilon")
        require_positive(self, "gradient_clip", "checkpoint_every")
        require_share(self, "warm_up")
        require_choice(self, "schedule", ("cosine", "exponential", "constant"))

    def stages(self) -> list[Stage]:
        """The one stage that this is."""
        from ctd_models_jax.training import Stage

        return [
            Stage(
                steps=self.steps,
                learning_rate=self.learning_rate,
                schedule=self.schedule,
                decay=self.decay,
                warm_up=self.warm_up,
                epsilon=self.epsilon,
                clip=self.gradient_clip,
            )
        ]


@dataclass
class SessionsConfig(CommandConfig):
    """Settings of a command that fits a model to recordings, and applies a fitted one.

    Attributes:
        data: The recording to fit, or a list of several that are fitted together.
        name: What the fit is called in tables and figures.
        predict: Folder of a finished run, or a file in it: that run's model is applied to `data`, and nothing
            is trained.
        session: With `predict`, of a model of several recordings: which one's neurons `data` has; by default
            it is found by the neurons' ids and the recording's name.
    """

    data: Any = "???"
    name: str | None = None
    predict: str | None = None
    session: str | None = None

    def __post_init__(self) -> None:
        paths = self.paths
        if self.predict is not None and len(paths) > 1:
            raise ValueError(f"a prediction is of one recording, got {len(paths)} in data")
        if self.predict is None and self.session is not None:
            raise ValueError("session is for a fitted model: name its run with predict=FOLDER")

    @property
    def paths(self) -> list[str]:
        """The recordings that `data` names."""
        return listed(self.data)

    @property
    def result(self) -> str:
        """The file that is written last."""
        return INDEX if len(self.paths) > 1 else RESULT
