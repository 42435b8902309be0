"""Settings of sequential autoencoders and their defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ctd_contract.command.config import CommandConfig
from ctd_models_jax.checks import require_positive, require_share

if TYPE_CHECKING:
    from ctd_models_jax.training import Stage


@dataclass
class AutoencoderConfig:
    """A sequential autoencoder.

    Attributes:
        units: Dimensions of the decoder's state.
        encoder_units: Units of the encoder, per direction.
        dropout: Share of the encoder's summary that is dropped in training.
        inputs: Signals that drive the decoder, for example ``[inputs]``; ``[]`` for an autonomous one.
    """

    units: int = 64
    encoder_units: int = 64
    dropout: float = 0.05
    inputs: list[str] = field(default_factory=lambda: ["inputs"])

    def __post_init__(self) -> None:
        require_positive(self, "units", "encoder_units")
        require_share(self, "dropout")


@dataclass
class GRUConfig(AutoencoderConfig):
    """A decoder of gated recurrent units."""


@dataclass
class LDSConfig(AutoencoderConfig):
    """A linear decoder: x' = A x + B u + c."""


@dataclass
class TrainingConfig:
    """How the model is fitted: AdamW under a warmed-up cosine schedule, the best epoch on valid kept.

    Attributes:
        epochs: Passes over the train split.
        batch_size: Trials in a step.
        learning_rate: Peak of the schedule.
        weight_decay: Of AdamW.
        gradient_clip: Bound on the gradient's global norm.
        coordinated_dropout: Share of held-in counts hidden from the encoder; only these are scored
            (Keshtkaran & Pandarinath 2019). 0 switches it off.
        checkpoint_every: Epochs between two checkpoints.
    """

    epochs: int = 200
    batch_size: int = 64
    learning_rate: float = 5e-3
    weight_decay: float = 1e-5
    gradient_clip: float = 1.0
    coordinated_dropout: float = 0.1
    checkpoint_every: int = 25

    def __post_init__(self) -> None:
        require_positive(self, "epochs", "batch_size", "learning_rate", "gradient_clip", "checkpoint_every")
        require_share(self, "coordinated_dropout")

    def stages(self) -> list[Stage]:
        """The one stage that this is."""
        from ctd_models_jax.training import Stage

        return [
            Stage(
                epochs=self.epochs,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                clip=self.gradient_clip,
            )
        ]


@dataclass
class FitConfig(CommandConfig):
    """Settings of ``ctd-models-jax``.

    Attributes:
        data: The recording to fit.
        name: What the fit is called in tables and figures; by default the model's name.
        model: The model.
        training: How it is fitted.
    """

    data: str = "???"
    name: str | None = None
    model: AutoencoderConfig = field(default_factory=GRUConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
