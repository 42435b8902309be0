"""Settings of LFADS and their defaults."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctd_models_torch.config import FitConfig, ModelConfig, require, require_mlp
from ctd_models_torch.lfads.read_in_config import ReadInConfig


def require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError for a value that isn't among the choices."""
    require(value in choices, f"{name} is one of {', '.join(choices)}", value)


@dataclass
class InitialEncoderConfig:
    """The encoder of the initial condition.

    Attributes:
        size: Units of each direction.
        bins: Bins from the start that it reads, the controller's encoder then reads the others; None for all
            bins for both.
        standardize: Whether each neuron is scaled to mean 0 and variance 1 (of the training trials) first,
            for both encoders.
    """

    size: int = 64
    bins: int | None = None
    standardize: bool = True

    def __post_init__(self) -> None:
        require(self.size > 0, "encoder.size is at least 1", self.size)
        require(self.bins is None or self.bins > 0, "encoder.bins is at least 1 or null", self.bins)


@dataclass
class GeneratorConfig:
    """The generator.

    Attributes:
        kind: ``"gru"``, or ``"node"`` for a discrete neural ODE, g + delta MLP([g, u]).
        reset: Of a GRU: whether its reset gates multiply the state ``"before"`` the recurrent product, as
            published, or the product (``"after"``, torch's form). Holds for encoders and controller too.
        clip: Of a GRU: its states are clamped to plus or minus this; null for no limit.
        hidden_size: Of a NODE: units of each hidden layer.
        hidden_layers: Of a NODE.
        delta: Of a NODE.
        activation: Of a NODE: ``"relu"``, ``"tanh"`` or ``"softplus"``.
    """

    kind: str = "gru"
    reset: str = "before"
    clip: float | None = 5.0
    hidden_size: int = 128
    hidden_layers: int = 2
    delta: float = 0.1
    activation: str = "tanh"

    def __post_init__(self) -> None:
        require_choice("generator.kind", self.kind, ("gru", "node"))
        require_choice("generator.reset", self.reset, ("before", "after"))
        require(self.clip is None or self.clip > 0, "generator.clip is above 0 or null", self.clip)
        require_mlp(self.hidden_size, self.hidden_layers, self.activation)


@dataclass
class ControllerConfig:
    """The controller, which infers inputs; there is none where any of the three sizes is 0.

    Attributes:
        size: Units.
        controls: Inferred inputs.
        encoder_size: Units of each direction of its encoder.
        lag: In bin t the controller sees bins up to t - lag, and from t + lag on.
        causal: Its encoder only reads forwards. Nothing of a later bin then reaches an inferred input but by
            the initial condition; with ``encoder.bins`` not by that either, after those bins.
    """

    size: int = 0
    controls: int = 3
    encoder_size: int = 64
    lag: int = 1
    causal: bool = False

    def __post_init__(self) -> None:
        for name in ("size", "controls", "encoder_size", "lag"):
            value = getattr(self, name)
            require(value >= 0, f"controller.{name} is at least 0", value)

    @property
    def exists(self) -> bool:
        """Whether there is a controller."""
        return min(self.size, self.controls, self.encoder_size) > 0


@dataclass
class PriorConfig:
    """A prior, and how its Kullback-Leibler divergence (KL) is computed.

    Attributes:
        kind: ``"normal"``; ``"autoregressive"``, of inferred inputs alone; ``"student_t"``; or ``"none"``:
            the mean is passed on instead of a sample, and there is no KL.
        variance: Of ``normal`` (not trained), and at first the innovations' of ``autoregressive``.
        time_constant: Of ``autoregressive``, at first, in bins.
        scale: Of ``student_t``, at first.
        degrees_of_freedom: Of ``student_t``.
        estimate: ``"sample"``: what the KL of ``autoregressive`` and ``student_t`` needs of the posterior is
            taken from the sample that the generator received, which is unbiased; ``"exact"``: from the
            posterior's moments, without noise, as if inferred inputs didn't depend on earlier ones.
        over_time: ``"sum"``, as in the bound, or ``"published_mean"``, for inferred inputs with a prior that
            is the same for all bins, which then weighs the KL less the longer the trials are.
    """

    kind: str = "normal"
    variance: float = 0.1
    time_constant: float = 10.0
    scale: float = 1.0
    degrees_of_freedom: float = 3.0
    estimate: str = "sample"
    over_time: str = "sum"

    def __post_init__(self) -> None:
        require_choice("prior.kind", self.kind, ("normal", "autoregressive", "student_t", "none"))
        require_choice("prior.estimate", self.estimate, ("sample", "exact"))
        require_choice("prior.over_time", self.over_time, ("sum", "published_mean"))
        require(
            self.kind != "autoregressive" or self.over_time == "sum",
            "prior.over_time is sum for an autoregressive prior, whose bins are not alike",
            self.over_time,
        )
        for name in ("variance", "time_constant", "scale", "degrees_of_freedom"):
            require(getattr(self, name) > 0, f"prior.{name} is above 0", getattr(self, name))


@dataclass
class RampConfig:
    """A weight that rises over the epochs.

    Attributes:
        start: First epoch (from 1) in which it is above zero, less one.
        increase: Epochs that it takes to rise.
    """

    start: int = 0
    increase: int = 10

    def __post_init__(self) -> None:
        require(self.start >= 0, "ramp.start is at least 0", self.start)
        require(self.increase >= 0, "ramp.increase is at least 0", self.increase)

    @property
    def end(self) -> int:
        """First epoch (from 1) with the whole weight."""
        return self.start + self.increase + 1

    def at(self, epoch: int) -> float:
        """Weight in an epoch (from 0)."""
        return min(1.0, max(0.0, (epoch + 1 - self.start) / (self.increase + 1)))


@dataclass
class KLConfig:
    """Weights of the KL terms; 1 is the evidence lower bound (with ``reconstruction="sum"``).

    Attributes:
        initial_condition: Weight of the initial condition's.
        controls: Weight of the inferred inputs'.
        initial_condition_target: The term is the distance of the divergence, averaged over the trials of a
            step, from this many nats per trial, in place of the divergence: a posterior is then neither to
            collapse nor to tell more. 0 for no target.
        controls_target: Likewise of the inferred inputs'.
        ramp: How they rise.
    """

    initial_condition: float = 1.0
    controls: float = 1.0
    initial_condition_target: float = 0.0
    controls_target: float = 0.0
    ramp: RampConfig = field(default_factory=RampConfig)

    def __post_init__(self) -> None:
        for name in ("initial_condition", "controls", "initial_condition_target", "controls_target"):
            require(getattr(self, name) >= 0, f"kl.{name} is at least 0", getattr(self, name))


@dataclass
class L2Config:
    """Penalty on recurrent weights: mean of ½ w² over those that have a weight here, times that weight.

    Attributes:
        generator: Weight of the generator's.
        controller: Weight of the controller's.
        encoders: Weight of both encoders'.
        ramp: How they rise.
    """

    generator: float = 0.0
    controller: float = 0.0
    encoders: float = 0.0
    ramp: RampConfig = field(default_factory=RampConfig)

    def __post_init__(self) -> None:
        for name in ("generator", "controller", "encoders"):
            require(getattr(self, name) >= 0, f"l2.{name} is at least 0", getattr(self, name))


@dataclass
class AugmentationConfig:
    """What encoders are shown in a training step is changed by this; what is scored is not.

    Attributes:
        jitter_bins: Every spike is moved by up to so many bins; 0 switches it off.
        shift_std: Each neuron of each trial is shifted in time by a normal number of bins with this standard
            deviation; 0 switches it off.
        shift_bins: Largest shift.
        sample_validation: Share of what encoders may see that is never shown to them nor trained on, in
            any trial, and scored in validation trials (``valid/sample_validation``); 0 switches it off.
        sample_validation_seed: Of the choice of these entries.
    """

    jitter_bins: int = 0
    shift_std: float = 0.0
    shift_bins: int = 6
    sample_validation: float = 0.0
    sample_validation_seed: int = 0

    def __post_init__(self) -> None:
        for name in ("jitter_bins", "shift_std", "shift_bins", "sample_validation_seed"):
            require(getattr(self, name) >= 0, f"augmentation.{name} is at least 0", getattr(self, name))
        share = self.sample_validation
        require(0 <= share < 1, "augmentation.sample_validation is in [0, 1)", share)


@dataclass
class LFADSConfig(ModelConfig):
    """LFADS (Pandarinath et al. 2018).

    Attributes:
        size: Length of the generator's state.
        factors: Number of factors, from which the readout goes.
        initial_condition: Length of the initial condition's code.
        read_in: From each recording's neurons to what encoders read; none by default with one recording.
        encoder: Encoder of the initial condition.
        generator: The generator.
        controller: The controller; none by default, so that known inputs or nothing drive the generator.
        initial_prior: Prior of the initial condition's code.
        control_prior: Prior of the inferred inputs.
        kl: Weights of the KL terms.
        l2: Penalty on recurrent weights.
        dropout: Ordinary dropout on what encoders, controller, factors and known inputs get.
        coordinated_dropout: Share of what encoders may see that is hidden from them in a training step; only
            hidden entries, and what is never seen, are then trained on. 0 switches it off.
        augmentation: Changes of what encoders are shown.
        reconstruction: ``"sum"`` over bins and neurons, so that the loss is the bound, divided by bins times
            neurons; ``"published_mean"``: only the reconstruction is divided by that, so that a KL weight w
            means w times bins times neurons.
        loss_scale: The loss is multiplied by this, as published; only gradient clipping and Adam's epsilon
            can tell.
    """

    size: int = 64
    factors: int = 20
    initial_condition: int = 64
    read_in: ReadInConfig = field(default_factory=ReadInConfig)
    encoder: InitialEncoderConfig = field(default_factory=InitialEncoderConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    initial_prior: PriorConfig = field(default_factory=PriorConfig)
    control_prior: PriorConfig = field(default_factory=lambda: PriorConfig("autoregressive"))
    kl: KLConfig = field(default_factory=KLConfig)
    l2: L2Config = field(default_factory=L2Config)
    dropout: float = 0.0
    coordinated_dropout: float = 0.3
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    reconstruction: str = "sum"
    loss_scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("size", "factors", "initial_condition"):
            require(getattr(self, name) > 0, f"model.{name} is at least 1", getattr(self, name))
        for name in ("dropout", "coordinated_dropout"):
            require(0 <= getattr(self, name) < 1, f"{name} is in [0, 1)", getattr(self, name))
        require(
            self.initial_prior.kind != "autoregressive",
            "initial_prior.kind is normal, student_t or none, since an initial condition has no time",
            self.initial_prior.kind,
        )
        require_choice("reconstruction", self.reconstruction, ("sum", "published_mean"))
        require(self.loss_scale > 0, "loss_scale is above 0", self.loss_scale)

    @property
    def window(self) -> int | None:
        """See ModelConfig; without a controller nothing reads past the initial condition's bins."""
        return None if self.controller.exists else self.encoder.bins

    @property
    def ramped_epochs(self) -> int:
        """See ModelConfig."""
        return max(self.kl.ramp.end, self.l2.ramp.end)


@dataclass
class LFADSFitConfig(FitConfig):
    """For `LFADSConfig`, whose gradients are now and then large: unclipped, training falls back."""

    learning_rate: float = 1e-2
    gradient_clip: float | None = 0.1
