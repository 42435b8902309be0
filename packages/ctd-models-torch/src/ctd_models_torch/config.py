"""All settings and their defaults: plain dataclasses, of which the command makes its keys."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctd_contract.torch.training.config import TrainingConfig

ACTIVATIONS = ("relu", "tanh", "softplus")


def require(holds: bool, rule: str, value: object) -> None:
    """Raise ValueError for a setting that breaks a rule."""
    if not holds:
        raise ValueError(f"{rule}, got {value}")


def require_mlp(hidden_size: int, hidden_layers: int, activation: str) -> None:
    """Raise ValueError for settings of which no multilayer perceptron can be made."""
    require(hidden_size > 0, "hidden_size is at least 1", hidden_size)
    require(hidden_layers >= 0, "hidden_layers is at least 0", hidden_layers)
    require(activation in ACTIVATIONS, f"activation is one of {', '.join(ACTIVATIONS)}", activation)


@dataclass
class EncoderConfig:
    """The bidirectional encoder.

    Attributes:
        size: Units of each direction.
        window: Bins from the start that it reads; None for all that may be seen. An initial state shows in
            the first bins only when the dynamics forget, and the rest then costs time and teaches it noise.
        standardize: Whether each neuron is scaled to mean 0 and variance 1 (of the training trials) first.
    """

    size: int = 64
    window: int | None = None
    standardize: bool = True

    def __post_init__(self) -> None:
        require(self.size > 0, "encoder.size is at least 1", self.size)
        require(self.window is None or self.window > 0, "encoder.window is at least 1 or null", self.window)


@dataclass
class ModelConfig:
    """What all models share.

    Attributes:
        observation: What links predictions to data: ``"auto"``, which is Poisson for spikes and Gaussian for
            activity, or by name: ``"poisson"`` for spikes; ``"gaussian"``, ``"varying_gaussian"``,
            ``"gamma"``, ``"zero_inflated_gamma"`` or ``"mean_squared_error"`` for activity.
    """

    observation: str = field(default="auto", kw_only=True)

    @property
    def window(self) -> int | None:
        """Bins from the start that encoders see; None for all that may be seen."""
        return None

    @property
    def ramped_epochs(self) -> int:
        """Epochs in which weights of the loss still rise; no early stop falls into them."""
        return 0

    @property
    def predicts_behavior(self) -> bool:
        """Whether the recording's behaviour is needed."""
        return False


@dataclass
class AutoencoderConfig(ModelConfig):
    """What all sequential autoencoders share.

    Attributes:
        size: Length of the decoder's state.
        encoder: The encoder.
        dropout: Ordinary dropout on the encoder's code and the initial state.
        coordinated_dropout: Share of what the encoder may see that is hidden from it in a training step; only
            hidden entries, and what it never sees, are then trained on. 0 switches it off.
    """

    size: int = 64
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    dropout: float = 0.0
    coordinated_dropout: float = 0.3

    def __post_init__(self) -> None:
        require(self.size > 0, "model.size is at least 1", self.size)
        for name in ("dropout", "coordinated_dropout"):
            require(0 <= getattr(self, name) < 1, f"{name} is in [0, 1)", getattr(self, name))

    @property
    def window(self) -> int | None:
        """See ModelConfig."""
        return self.encoder.window


@dataclass
class LDSConfig(AutoencoderConfig):
    """Linear dynamics; `memory` is the weight of the identity in the initial transition matrix."""

    memory: float = 0.98


@dataclass
class RNNConfig(AutoencoderConfig):
    """A vanilla (tanh) network; `memory` is the weight of the identity in the initial recurrent matrix."""

    memory: float = 0.9


@dataclass
class GRUConfig(AutoencoderConfig):
    """A gated recurrent unit; `memory` is added to the update gate's bias."""

    memory: float = 1.0


@dataclass
class NODEConfig(AutoencoderConfig):
    """A discrete neural ODE, z + delta MLP([z, u]), with hidden layers of `hidden_size`."""

    size: int = 8
    hidden_size: int = 128
    hidden_layers: int = 2
    delta: float = 0.5
    activation: str = "relu"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_mlp(self.hidden_size, self.hidden_layers, self.activation)


@dataclass
class SmootherConfig(ModelConfig):
    """Rates straight from a bidirectional network without dynamics: a practical ceiling.

    Attributes:
        size: Units of each direction.
        standardize: Whether each neuron is scaled to mean 0 and variance 1 (of the training trials) first.
        dropout: Ordinary dropout on what the units read and on their states.
        coordinated_dropout: Share of what may be seen that is hidden in a training step; only hidden entries,
            and what is never seen, are then trained on. 0 switches it off.
    """

    size: int = 64
    standardize: bool = True
    dropout: float = 0.2
    coordinated_dropout: float = 0.3

    def __post_init__(self) -> None:
        require(self.size > 0, "model.size is at least 1", self.size)
        for name in ("dropout", "coordinated_dropout"):
            require(0 <= getattr(self, name) < 1, f"{name} is in [0, 1)", getattr(self, name))


@dataclass
class ReadoutConfig:
    """What all readouts share: nothing but that their bias starts at the mean rates."""


@dataclass
class LinearReadoutConfig(ReadoutConfig):
    """An affine map of the state."""


@dataclass
class OrthonormalReadoutConfig(ReadoutConfig):
    """An affine map with orthonormal columns but for one gain, hence injective; needs size <= neurons."""


@dataclass
class MLPReadoutConfig(ReadoutConfig):
    """A multilayer perceptron."""

    hidden_size: int = 128
    hidden_layers: int = 1
    activation: str = "relu"

    def __post_init__(self) -> None:
        require_mlp(self.hidden_size, self.hidden_layers, self.activation)


@dataclass
class FlowReadoutConfig(ReadoutConfig):
    """An invertible flow of `steps` Euler steps of length `delta`; needs size <= neurons."""

    hidden_size: int = 128
    steps: int = 20
    delta: float = 0.1

    def __post_init__(self) -> None:
        require(self.hidden_size > 0, "hidden_size is at least 1", self.hidden_size)
        require(self.steps > 0, "steps is at least 1", self.steps)


@dataclass
class GrowthConfig:
    """Incremental sequence loss: the scored length grows over the epochs (Sedler et al. 2023).

    Attributes:
        start_bins: Bins that are scored in the first epoch; None scores whole trials from the start.
        full_at: Share of `max_epochs` after which whole trials are scored.
    """

    start_bins: int | None = None
    full_at: float = 0.5


@dataclass
class FitConfig(TrainingConfig):
    """How a model is trained.

    Attributes:
        batch_size: Trials in a step.
        schedule: Learning rate over the epochs: ``"cosine"`` (to a hundredth of the peak), ``"constant"``, or
            ``"plateau"`` (times `plateau_factor` after `plateau_patience` checks without improvement).
        warmup: Share of the epochs over which the rate rises to its peak first.
        plateau_factor: See `schedule`.
        plateau_patience: See `schedule`; the score is smoothed by `smoothing` first.
        plateau_floor: Learning rate that this never goes below.
        optimizer: ``"adam"``, or ``"adamw"``, whose `weight_decay` shrinks the weights themselves instead of
            adding to the gradient (Loshchilov & Hutter 2019).
        epsilon: Added to Adam's denominator.
        growth: Incremental sequence loss.
        figure_interval: Epochs between figures of validation trials, rasters and factors in 3-D, in the run's
            folder and TensorBoard, and in the end; null for none.
    """

    max_epochs: int = 100
    learning_rate: float = 5e-3
    batch_size: int = 25
    schedule: str = "cosine"
    warmup: float = 0.2
    plateau_factor: float = 0.95
    plateau_patience: int = 6
    plateau_floor: float = 0.0
    optimizer: str = "adam"
    epsilon: float = 1e-8
    growth: GrowthConfig = field(default_factory=GrowthConfig)
    figure_interval: int | None = 20


@dataclass
class RecordingConfig:
    """How a recording is read.

    Attributes:
        inputs: Signal of the recording that drives the decoder; None fits a model without known inputs.
        behavior: Signal that is predicted as well, by models that do that (BAND).
        memory_mb: Recordings that need more than this, those of one fit together, are streamed from their
            files, batch by batch.
    """

    inputs: str | None = "inputs"
    behavior: str = "behavior"
    memory_mb: int = 4096

    def __post_init__(self) -> None:
        require(self.memory_mb >= 0, "memory_mb is at least 0", self.memory_mb)


@dataclass
class LDSFitConfig(FitConfig):
    """For `LDSConfig`."""

    learning_rate: float = 3e-3


@dataclass
class RNNFitConfig(FitConfig):
    """For `RNNConfig`, which learns to hold and switch only when whole trials come late."""

    learning_rate: float = 6e-3
    batch_size: int = 20
    gradient_clip: float | None = 0.2
    growth: GrowthConfig = field(default_factory=lambda: GrowthConfig(start_bins=15, full_at=0.4))


@dataclass
class GRUFitConfig(FitConfig):
    """For `GRUConfig`, whose states stay linear in the true ones by the decay of the weights."""

    learning_rate: float = 1e-2
    weight_decay: float = 2e-5


@dataclass
class NODEFitConfig(FitConfig):
    """For `NODEConfig`, of which the incremental loss is a part (Sedler et al. 2023)."""

    learning_rate: float = 7e-3
    growth: GrowthConfig = field(default_factory=lambda: GrowthConfig(start_bins=20))
