"""Settings of MR-LFADS and their defaults."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctd_models_torch.config import FitConfig, ModelConfig, require
from ctd_models_torch.lfads.config import (
    ControllerConfig,
    GeneratorConfig,
    InitialEncoderConfig,
    L2Config,
    RampConfig,
    require_choice,
)

EMISSIONS = ("rates", "factors", "states")


@dataclass
class MessagesConfig:
    """What regions send each other.

    Attributes:
        size: Channels from each region to each other one.
        emission: What of the source region's bin before they are made of: ``"rates"``, the predictions
            (log rates) of the neurons that encoders see; ``"factors"``; or ``"states"`` of the generator.
        penalty: Weight of the sum, over all pairs of regions, of the mean square of the posterior mean of
            their messages; 0 for none.
    """

    size: int = 4
    emission: str = "rates"
    penalty: float = 0.0

    def __post_init__(self) -> None:
        require(self.size > 0, "messages.size is at least 1", self.size)
        require(self.penalty >= 0, "messages.penalty is at least 0", self.penalty)
        require_choice("messages.emission", self.emission, EMISSIONS)


@dataclass
class DivergenceConfig:
    """A Kullback-Leibler divergence (KL) in the loss, from a normal prior of mean 0.

    Attributes:
        weight: 1 is the evidence lower bound.
        ramp: How the weight rises.
        variance: Of the prior at first; each dimension's is trained.
    """

    weight: float = 1.0
    ramp: RampConfig = field(default_factory=RampConfig)
    variance: float = 0.1

    def __post_init__(self) -> None:
        require(self.weight >= 0, "kl weight is at least 0", self.weight)
        require(self.variance > 0, "kl variance is above 0", self.variance)


@dataclass
class RegionKLConfig:
    """The KL terms.

    Attributes:
        initial_condition: Of the codes of the initial conditions.
        controls: Of the inferred inputs.
        messages: Of the messages. With a larger weight than that of the inferred inputs, what a region does
            is explained by inputs rather than by others' messages, and the other way round.
    """

    initial_condition: DivergenceConfig = field(default_factory=DivergenceConfig)
    controls: DivergenceConfig = field(default_factory=DivergenceConfig)
    messages: DivergenceConfig = field(default_factory=DivergenceConfig)


@dataclass
class MRLFADSConfig(ModelConfig):
    """MR-LFADS: one LFADS per region, with inferred messages between the regions.

    Attributes:
        size: Length of each generator's state; None for twice the region's neurons, `largest_size` at most.
        largest_size: See `size`.
        factors: Factors of each region; None for as many as it has neurons, `largest_factors` at most.
        largest_factors: See `factors`.
        initial_condition: Length of each region's code of the initial condition.
        encoder: Encoders of the initial conditions; its ``bins`` are also reconstructed (the generators run
            from bin 0), and the controllers get nothing of them.
        controller: The controllers; by default causal and without lag. There is none where one of its sizes
            is 0.
        messages: What regions send each other.
        reset: Whether the units' reset gates multiply the state ``"before"`` the recurrent product, as
            published, or the product (``"after"``).
        clip: States of the units are clamped to plus or minus this; null for no limit.
        kl: The KL terms.
        l2: Penalty on recurrent weights.
        dropout: Ordinary dropout on what encoders, controllers, factors and known inputs get. The states that
            are carried on never lose anything.
        coordinated_dropout: Share of what encoders may see that is hidden from them in a training step; only
            hidden entries, and what is never seen, are then trained on. 0 switches it off.
    """

    size: int | None = None
    largest_size: int = 128
    factors: int | None = None
    largest_factors: int = 40
    initial_condition: int = 32
    encoder: InitialEncoderConfig = field(default_factory=lambda: InitialEncoderConfig(bins=10))
    controller: ControllerConfig = field(
        default_factory=lambda: ControllerConfig(size=64, controls=4, lag=0, causal=True)
    )
    messages: MessagesConfig = field(default_factory=MessagesConfig)
    reset: str = "before"
    clip: float | None = 5.0
    kl: RegionKLConfig = field(default_factory=RegionKLConfig)
    l2: L2Config = field(default_factory=L2Config)
    dropout: float = 0.0
    coordinated_dropout: float = 0.3

    def __post_init__(self) -> None:
        for name in ("size", "factors"):
            value = getattr(self, name)
            require(value is None or value > 0, f"model.{name} is at least 1 or null", value)
        for name in ("largest_size", "largest_factors", "initial_condition"):
            require(getattr(self, name) > 0, f"model.{name} is at least 1", getattr(self, name))
        for name in ("dropout", "coordinated_dropout"):
            require(0 <= getattr(self, name) < 1, f"{name} is in [0, 1)", getattr(self, name))
        require_choice("reset", self.reset, ("before", "after"))
        require(self.clip is None or self.clip > 0, "clip is above 0 or null", self.clip)

    @property
    def units(self) -> GeneratorConfig:
        """Form of all units."""
        return GeneratorConfig(reset=self.reset, clip=self.clip)

    @property
    def window(self) -> int | None:
        """See ModelConfig; without controllers nothing reads past the initial condition's bins."""
        return None if self.controller.exists else self.encoder.bins

    @property
    def ramped_epochs(self) -> int:
        """See ModelConfig."""
        ramps = (self.kl.initial_condition, self.kl.controls, self.kl.messages, self.l2)
        return max(one.ramp.end for one in ramps)


@dataclass
class SilenceConfig:
    """Connections of a fitted MR-LFADS that are silent.

    Attributes:
        connections: ``SOURCE:TARGET`` by the regions' names, ``*`` for any.
        start: First bin in which they are silent.
        stop: First bin in which they no longer are; None for the end.
    """

    connections: list[str]
    start: int = 0
    stop: int | None = None

    def __post_init__(self) -> None:
        require(self.start >= 0, "start is at least 0", self.start)
        require(len(self.connections) > 0, "connections has at least one", self.connections)


@dataclass
class MRLFADSFitConfig(FitConfig):
    """For `MRLFADSConfig`."""

    learning_rate: float = 4e-3
    gradient_clip: float | None = 0.1
