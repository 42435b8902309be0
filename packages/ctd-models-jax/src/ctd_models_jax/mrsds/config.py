"""Settings of MR-SDS and their defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ctd_models_jax.checks import require_choice, require_not_negative, require_positive, require_share
from ctd_models_jax.settings import SessionsConfig

if TYPE_CHECKING:
    from ctd_models_jax.training import Stage

ACTIVATIONS = ("relu", "tanh", "silu", "softplus")
NOISES = ("diagonal", "full")


@dataclass
class DynamicsConfig:
    """How regions' states move.

    Attributes:
        layers: Units of the hidden layers of each network from region to region.
        activation: Between their layers.
        communication: ``additive``: f_ij(x_j); ``additive-linear``: without activations for j other than i;
            ``conditional``: f_ij(x_j, x_i), x_i at every layer.
        by_mode: What differs between modes: all ``weights``, or ``biases`` alone, one network that takes the
            one-hot mode at every layer (inputs then act alike in all modes).
        output: Whether networks give the ``increment`` or the ``next_state``.
        input_networks: ``separate``, one an input channel, or ``joint``.
        input_layers: Units of their hidden layers; none for linear ones. They have no biases.
        input_activation: Between their layers.
        noise: Covariance of the noise and of the initial states, ``diagonal`` or ``full``.
        noise_std: Standard deviation of the noise at first.
        initial_std: Standard deviation of the initial states at first.
    """

    layers: list[int] = field(default_factory=lambda: [32, 32])
    activation: str = "relu"
    communication: str = "additive"
    by_mode: str = "weights"
    output: str = "increment"
    input_networks: str = "separate"
    input_layers: list[int] = field(default_factory=list)
    input_activation: str = "relu"
    noise: str = "diagonal"
    noise_std: float = 0.1
    initial_std: float = 0.5

    def __post_init__(self) -> None:
        require_choice(self, "activation", ACTIVATIONS)
        require_choice(self, "communication", ("additive", "additive-linear", "conditional"))
        require_choice(self, "by_mode", ("weights", "biases"))
        require_choice(self, "output", ("increment", "next_state"))
        require_choice(self, "input_networks", ("separate", "joint"))
        require_choice(self, "input_activation", ACTIVATIONS)
        require_choice(self, "noise", NOISES)
        require_positive(self, "noise_std", "initial_std")
        require_all_positive(self, "layers", "input_layers")


@dataclass
class ModeConfig:
    """How modes follow each other.

    Attributes:
        recurrence: What transitions depend on: ``states``, ``inputs``, ``both`` or ``none``.
        layers: Units of the hidden layers; none for a linear map.
        activation: Between layers.
        persistence: Logit of staying in a mode, at first.
    """

    recurrence: str = "both"
    layers: list[int] = field(default_factory=lambda: [16])
    activation: str = "relu"
    persistence: float = 3.0

    def __post_init__(self) -> None:
        require_choice(self, "recurrence", ("states", "inputs", "both", "none"))
        require_choice(self, "activation", ACTIVATIONS)
        require_all_positive(self, "layers")


@dataclass
class EmissionConfig:
    """From a region's states to its neurons.

    Attributes:
        family: ``gaussian``, ``poisson`` or ``negative_binomial``; null for Poisson counts of spikes and
            Gaussian activity.
        layers: Units of the hidden layers; none for a linear map.
        activation: Between layers.
        link: From the last layer to the expected count: ``softplus`` or ``exp``.
        noise: Covariance of Gaussian activity, ``diagonal`` or ``full``.
    """

    family: str | None = None
    layers: list[int] = field(default_factory=list)
    activation: str = "relu"
    link: str = "softplus"
    noise: str = "diagonal"

    def __post_init__(self) -> None:
        if self.family is not None:
            require_choice(self, "family", ("gaussian", "poisson", "negative_binomial"))
        require_choice(self, "activation", ACTIVATIONS)
        require_choice(self, "link", ("softplus", "exp"))
        require_choice(self, "noise", NOISES)
        require_all_positive(self, "layers")


@dataclass
class EncoderConfig:
    """From activity to the posterior.

    Attributes:
        kind: ``gru``, bidirectional, or ``transformer``.
        embedding: Units of the layers that each region's activity passes first.
        units: Of the GRU, per direction; width of the transformer.
        heads: Of the transformer's attention.
        head_size: Dimensions of each head.
        feed_forward: Units of the transformer's feed-forward layers.
        blocks: Of the transformer.
        layers: Units of the layers after GRU or transformer.
        noise: Covariance of the posterior in each bin, ``diagonal`` or ``full``.
    """

    kind: str = "gru"
    embedding: list[int] = field(default_factory=lambda: [16])
    units: int = 32
    heads: int = 3
    head_size: int = 16
    feed_forward: int = 32
    blocks: int = 1
    layers: list[int] = field(default_factory=lambda: [32])
    noise: str = "diagonal"

    def __post_init__(self) -> None:
        require_choice(self, "kind", ("gru", "transformer"))
        require_choice(self, "noise", NOISES)
        require_positive(self, "units", "heads", "head_size", "feed_forward", "blocks")
        require_all_positive(self, "embedding", "layers")
        if not self.embedding:
            raise ValueError("embedding must name the units of one layer or more, got []")


@dataclass
class PublishedConfig:
    """Weights of the published objective of the structured posterior, over bins ahead.

    Attributes:
        emission_weights: Of log p(y) 0, 1, ... bins ahead, one more than of states; ``[]`` for the published
            ones, 0 to 10 bins.
        state_weights: Of log p(x) 1, 2, ... bins ahead; ``[]`` for the published ones, 1 to 10 bins.
        initial_weight: Of log p(x_1).
        mode_weight: Of the divergence of the modes.
    """

    emission_weights: list[float] = field(default_factory=list)
    state_weights: list[float] = field(default_factory=list)
    initial_weight: float = 100.0
    mode_weight: float = 100.0

    def __post_init__(self) -> None:
        require_not_negative(self, "initial_weight", "mode_weight")
        emissions, states = len(self.emission_weights) or 11, len(self.state_weights) or 10
        if emissions != states + 1:
            raise ValueError(
                f"emission_weights: expected {states + 1}, one more than of states, got {emissions}"
            )


@dataclass
class MRSDSConfig:
    """Regions whose states talk to each other, in several modes.

    Attributes:
        states: Of each region; one number is for all.
        modes: How many.
        posterior: ``structured``, q(x_k | x_{k-1}) = N(F(x_{k-1}, u_k) + m_k, S_k); ``mean_field``,
            q(x_k) = N(m_k, S_k); ``chain``, a Gaussian with the precision of a linear system of its own, of
            whose bins the encoder tells something; or ``laplace``, a Gaussian about the states that Newton's
            method finds, from where the encoder says. Modes are summed over exactly in all.
        laplace_steps: Of Newton's method, in forecasts of all posteriors too.
        objective: ``bound`` of log p(y); or ``published``, that of the original, which is no bound, of
            structured and mean-field posteriors.
        published: Weights of that of a structured posterior.
        inputs: Signals that drive the states, for example ``[inputs]``; ``[]`` for none.
        dynamics: How states move.
        mode_transitions: How modes follow each other.
        emissions: What neurons do.
        encoder: From activity to the posterior.
        overshooting: Bins that predictions are trained for; 0 for none.
        overshooting_weight: Of their mean negative log-likelihood.
        smoothness: Weight of the sum of |Δx|, |Δ²x| and |Δ³x| over states and bins, in nats; a term apart.
        dropout_neurons: Share of each region's held-in neurons that are hidden from the encoder in training.
        dropout_trials: Share of the trials in which they are.
    """

    states: list[int] = field(default_factory=lambda: [2])
    modes: int = 1
    posterior: str = "structured"
    laplace_steps: int = 2
    objective: str = "bound"
    published: PublishedConfig = field(default_factory=PublishedConfig)
    inputs: list[str] = field(default_factory=lambda: ["inputs"])
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    mode_transitions: ModeConfig = field(default_factory=ModeConfig)
    emissions: EmissionConfig = field(default_factory=EmissionConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    overshooting: int = 0
    overshooting_weight: float = 1.0
    smoothness: float = 0.0
    dropout_neurons: float = 0.25
    dropout_trials: float = 0.5

    def __post_init__(self) -> None:
        require_choice(self, "posterior", ("structured", "mean_field", "chain", "laplace"))
        require_choice(self, "objective", ("bound", "published"))
        if self.objective == "published" and self.posterior in ("chain", "laplace"):
            raise ValueError(
                f"objective=published needs posterior=structured or mean_field, got {self.posterior}"
            )
        require_positive(self, "modes", "laplace_steps")
        require_not_negative(self, "overshooting", "overshooting_weight", "smoothness")
        require_share(self, "dropout_neurons")
        if not 0 <= self.dropout_trials <= 1:
            raise ValueError(f"dropout_trials must lie in [0, 1], got {self.dropout_trials}")
        require_all_positive(self, "states")
        if not self.states:
            raise ValueError("states must name the states of a region or more, got []")


@dataclass
class MRSDSTrainingConfig:
    """How the model is fitted: Adam under a warmed-up cosine schedule, the best epoch on valid kept.

    Attributes:
        steps: Updates of all parameters, rounded up to whole epochs.
        frozen_steps: Updates after that with the encoder held fixed.
        batch_size: Trials in a step.
        learning_rate: Peak of the schedule.
        warm_up: Share of the steps in which the learning rate rises.
        start: Share of the learning rate that it rises from.
        frozen_warm_up: Share of the frozen steps in which it rises; null for `warm_up`.
        gradient_clip: Bound on the gradient's global norm.
        states_warm_up: Updates in which the weight of the states' term rises from 0 to 1.
        beta_peak: Highest further weight of that term, which rises in a line and falls as half a cosine again
            and again, but never below 1; 1 for none. Scores are without it.
        beta_warm_up: Updates of each rise.
        beta_cycles: How often in `steps`.
        checkpoint_every: Epochs between two checkpoints.
    """

    steps: int = 2000
    frozen_steps: int = 0
    batch_size: int = 64
    learning_rate: float = 1e-2
    warm_up: float = 0.1
    start: float = 0.1
    frozen_warm_up: float | None = None
    gradient_clip: float = 1.0
    states_warm_up: int = 0
    beta_peak: float = 1.0
    beta_warm_up: int = 0
    beta_cycles: int = 10
    checkpoint_every: int = 25

    def __post_init__(self) -> None:
        require_positive(self, "steps", "batch_size", "learning_rate", "gradient_clip", "checkpoint_every")
        require_positive(self, "beta_cycles")
        require_not_negative(self, "frozen_steps", "states_warm_up", "beta_warm_up")
        if self.beta_peak < 1:
            raise ValueError(f"beta_peak must be 1 or more, got {self.beta_peak}")
        require_share(self, "warm_up", "start")
        if self.frozen_warm_up is not None:
            require_share(self, "frozen_warm_up")

    def weights(self) -> dict[str, Any]:
        """How the weight of the states' term changes: further arguments of the model's loss."""
        from ctd_models_jax.mrsds.beta import Beta

        period = max(self.steps // self.beta_cycles, 1)
        beta = Beta(self.beta_peak, self.beta_warm_up, period) if self.beta_peak > 1 else None
        return {"states_warm_up": self.states_warm_up, "beta": beta}

    def stages(self) -> list[Stage]:
        """All parameters; then, if asked for, all but the encoder's."""
        from ctd_models_jax.training import Stage

        def stage(steps: int, warm_up: float, **more: Any) -> Stage:
            rates: dict[str, Any] = {"learning_rate": self.learning_rate, "first": self.start}
            return Stage(steps=steps, warm_up=warm_up, clip=self.gradient_clip, **rates, **more)

        stages = [stage(self.steps, self.warm_up)]
        if self.frozen_steps:
            warm_up = self.warm_up if self.frozen_warm_up is None else self.frozen_warm_up
            trained = ["dynamics*", "mode_prior*", "emissions*"]
            stages.append(stage(self.frozen_steps, warm_up, trained=trained, name="frozen encoder"))
        return stages


@dataclass
class MRSDSFitConfig(SessionsConfig):
    """Settings of the command; the neurons of recordings have regions, or all are of one.

    Attributes:
        message_reference: Where messages are counted from: ``mean``, of all inferred states, or ``none``,
            which leaves to each network what it says.
        forecasts: How many bins ahead forecasts are written, for example ``[1,5]``; states are then
            inferred once for each bin, by Newton's method whatever the posterior.
        model: The model.
        training: How it is fitted.
    """

    message_reference: str = "mean"
    forecasts: list[int] = field(default_factory=list)
    model: MRSDSConfig = field(default_factory=MRSDSConfig)
    training: MRSDSTrainingConfig = field(default_factory=MRSDSTrainingConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(self, "message_reference", ("mean", "none"))
        require_all_positive(self, "forecasts")


def require_all_positive(config: object, *names: str) -> None:
    """Refuse lists with anything but whole numbers above 0."""
    for name in names:
        if any(units < 1 for units in getattr(config, name)):
            raise ValueError(f"{name} must hold whole numbers above 0, got {getattr(config, name)}")
