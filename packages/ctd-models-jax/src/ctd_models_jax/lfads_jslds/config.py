"""Settings of LFADS-JSLDS and their defaults."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctd_models_jax.checks import require_choice, require_not_negative, require_positive, require_share
from ctd_models_jax.settings import OneStageConfig, SessionsConfig


@dataclass
class EncoderConfig:
    """The encoder, a bidirectional GRU.

    Attributes:
        units: Of each direction.
        bins: Bins from the start that the initial state is inferred from; a second encoder then reads the
            others for the controller. null: one encoder reads all bins for both, as published.
        read_in: Channels that each recording's neurons are mapped to first; null for none with one recording,
            and as many as factors with several.
    """

    units: int = 64
    bins: int | None = None
    read_in: int | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("bins", "read_in") if getattr(self, name) is not None]
        require_positive(self, "units", *given)


@dataclass
class ControllerConfig:
    """The controller, a GRU that infers inputs from the encodings and from the network's factors.

    Attributes:
        units: Its units; 0 for no controller: known inputs, or none, drive the generators.
        controls: Inferred inputs.
        lag: In bin t it sees what the encoder read up to bin t - lag, and from t + lag on.
    """

    units: int = 0
    controls: int = 3
    lag: int = 0

    def __post_init__(self) -> None:
        require_not_negative(self, "units", "lag")
        require_positive(self, "controls")


@dataclass
class PriorConfig:
    """A prior around 0, and how the Kullback-Leibler divergence (KL) to it is computed; its scales are
    trained.

    Attributes:
        kind: ``normal``; ``autoregressive``, of inferred inputs alone: u_1 ~ N(0, v / (1 - a²)),
            u_t ~ N(a u_{t-1}, v), a = exp(-1 / time_constant); ``student_t``; ``laplace``; or ``none``: the
            posterior's mean is passed on and there is no KL.
        variance: Of ``normal``, and v of ``autoregressive``, at first.
        time_constant: Of ``autoregressive``, at first, bins.
        scale: Of ``student_t`` and ``laplace``, at first.
        degrees_of_freedom: Of ``student_t``.
        estimate: ``sample``: what the KL of ``autoregressive``, ``student_t`` and ``laplace`` needs of the
            posterior is taken from the sample that the generators received; ``exact``: from the posterior's
            moments, as if inferred inputs didn't depend on earlier ones.
    """

    kind: str = "normal"
    variance: float = 0.1
    time_constant: float = 10.0
    scale: float = 0.1
    degrees_of_freedom: float = 3.0
    estimate: str = "sample"

    def __post_init__(self) -> None:
        require_choice(self, "kind", ("normal", "autoregressive", "student_t", "laplace", "none"))
        require_choice(self, "estimate", ("sample", "exact"))
        require_positive(self, "variance", "time_constant", "scale", "degrees_of_freedom")


@dataclass
class KLConfig:
    """Weights of the KL terms, which are sums over bins, and how they rise.

    Attributes:
        initial_state: Of the initial state's.
        inferred_inputs: Of the inferred inputs'.
        start: Updates with the first share of these weights.
        increase: Updates after that in which the share rises to 1.
        first: The share at first.
    """

    initial_state: float = 1.0
    inferred_inputs: float = 1.0
    start: int = 0
    increase: int = 200
    first: float = 0.0

    def __post_init__(self) -> None:
        require_not_negative(self, "initial_state", "inferred_inputs", "start", "increase")
        require_share(self, "first")


@dataclass
class TermsConfig:
    """Weights of the other terms of the loss, which are sums over bins and dimensions and means over trials.

    Attributes:
        rnn: Of the network's negative log-likelihood.
        jslds: Of the linear system's.
        fixed_point: Of the squared drift ‖F(e, u*) - e‖².
        agreement: Of the squared distance ‖g - a‖².
        l2: Of the sum of squares of all parameters.
    """

    rnn: float = 1.0
    jslds: float = 1.0
    fixed_point: float = 10.0
    agreement: float = 1.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        require_not_negative(self, *vars(self))


@dataclass
class LFADSJSLDSConfig:
    """LFADS with two generators.

    Attributes:
        units: Length of both generators' states.
        factors: Number of factors, from which the readouts go.
        inputs: Signals that drive the generators, for example ``[inputs]``; ``[]`` for none.
        kept_inputs: Channels of these, from 0, about which the network is linearised where they are (u* = u),
            like a context that lasts; about all others it is at 0.
        family: Of the observations: ``poisson`` or ``gaussian``; null for what the recording holds.
        expansion_layers: Layers of the expansion network, which is as wide as the state.
        encoder: From activity to the initial state, and to what the controller reads.
        controller: Of inferred inputs; none by default.
        initial_prior: Of the initial state, the same for both generators.
        control_prior: Of the inferred inputs.
        smallest_variance: Added to the posteriors' variances.
        dropout: Share dropped in training of what the encoder reads and says, of what the controller reads,
            and of the states that factors are made of, of both generators the same.
        weights: Of the loss's terms.
        kl: Of the divergences among them.
    """

    units: int = 64
    factors: int = 20
    inputs: list[str] = field(default_factory=lambda: ["inputs"])
    kept_inputs: list[int] = field(default_factory=list)
    family: str | None = None
    expansion_layers: int = 2
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    initial_prior: PriorConfig = field(default_factory=PriorConfig)
    control_prior: PriorConfig = field(default_factory=lambda: PriorConfig("autoregressive"))
    smallest_variance: float = 1e-4
    dropout: float = 0.0
    weights: TermsConfig = field(default_factory=TermsConfig)
    kl: KLConfig = field(default_factory=KLConfig)

    def __post_init__(self) -> None:
        require_positive(self, "units", "factors", "expansion_layers", "smallest_variance")
        require_share(self, "dropout")
        if self.family is not None:
            require_choice(self, "family", ("poisson", "gaussian"))
        if self.initial_prior.kind == "autoregressive":
            raise ValueError(
                "initial_prior.kind: an initial state has no time, take normal, student_t or laplace"
            )

    @property
    def controls(self) -> int:
        """Inferred inputs; 0 without a controller."""
        return self.controller.controls if self.controller.units else 0


@dataclass
class LFADSJSLDSTrainingConfig(OneStageConfig):
    """How the model is fitted: the best epoch on valid is kept, and steps take evenly from every recording.

    Attributes:
        coordinated_dropout: Share of what the encoder may see that is hidden from it in a step; of it only
            this is scored (Keshtkaran & Pandarinath 2019). 0 switches it off.
        loss_per: ``count``: the loss is divided by bins times neurons, so that recordings of all sizes have
            one scale; ``trial``: as published. Only clipping and Adam's epsilon can tell.
    """

    steps: int = 800
    batch_size: int = 32
    learning_rate: float = 1e-2
    gradient_clip: float = 0.1
    coordinated_dropout: float = 0.3
    loss_per: str = "count"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_share(self, "coordinated_dropout")
        require_choice(self, "loss_per", ("count", "trial"))


@dataclass
class LFADSJSLDSFitConfig(SessionsConfig):
    """Settings of the command; `name` is the linear system's, the network has ``_rnn`` after it.

    Attributes:
        model: The model.
        training: How it is fitted.
    """

    model: LFADSJSLDSConfig = field(default_factory=LFADSJSLDSConfig)
    training: LFADSJSLDSTrainingConfig = field(default_factory=LFADSJSLDSTrainingConfig)
