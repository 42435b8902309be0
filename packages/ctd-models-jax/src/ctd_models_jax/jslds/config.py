"""Settings of ``ctd-models-jax model=jslds`` and their defaults."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctd_contract.command.config import CommandConfig
from ctd_models_jax.checks import require_choice, require_not_negative, require_positive, require_share
from ctd_models_jax.settings import OneStageConfig
from ctd_models_jax.tasks.config import BitMemoryConfig, TaskConfig

MEMORY_NOISE_STD = 0.05


@dataclass
class LossWeights:
    """Weights of the loss's terms, which are means over trials, bins and dimensions.

    Attributes:
        rnn: Of the network's error in the task.
        jslds: Of the linear system's error in the task.
        fixed_point: Of the squared drift (F(e, u*) - e)².
        agreement: Of the squared distance (h - a)².
        l2: Of the sum of squares of all parameters.
        input_point: Of the squared distance of a learned u* from the trial's mean input.
    """

    rnn: float = 3.0
    jslds: float = 1.0
    fixed_point: float = 100.0
    agreement: float = 100.0
    l2: float = 0.0
    input_point: float = 0.1

    def __post_init__(self) -> None:
        require_not_negative(self, *vars(self))


@dataclass
class JSLDSConfig:
    """A network and its JSLDS.

    Attributes:
        cell: The network: ``gru``, ``tanh`` or ``relu``.
        units: Size of the state.
        gain: Spectral radius, roughly, of the recurrent weights at first.
        layers: Layers of the expansion network.
        activation: Its nonlinearity, ``tanh``; ``relu`` for a relu network.
        learned_input_point: Whether the expansion network gives u* as well.
        weights: Of the loss.
    """

    cell: str = "gru"
    units: int = 100
    gain: float = 0.9
    layers: int = 2
    activation: str = "tanh"
    learned_input_point: bool = False
    weights: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        require_choice(self, "cell", ("gru", "tanh", "relu"))
        require_choice(self, "activation", ("tanh", "relu"))
        require_positive(self, "units", "gain", "layers")


@dataclass
class JSLDSTrainingConfig(OneStageConfig):
    """How network and JSLDS are trained together: trials are drawn anew in each step, a compiled call is an
    epoch.

    Attributes:
        quiet_share: Share of the trials whose inputs, but for the context, fall silent in a random bin, so
            that memories must last: without such trials no fixed points need be there. Scores and files have
            none.
        noise_std: Standard deviation of the noise on every new state of either system, per bin. It is drawn
            for each system by itself, so that noise which lasts parts them and fixed points come to attract
            from all sides; without it they are weak, and states creep. By default 0.05 where a task's
            memories are discrete, and 0 where it integrates, which noise would add to. Scores and files
            have none.
        n_valid: Trials that the score is computed on.
        steps_per_call: Updates in one compiled call, after which the score is computed.
    """

    steps: int = 3000
    quiet_share: float = 0.5
    noise_std: float | None = None
    learning_rate: float = 4e-3
    n_valid: int = 256
    steps_per_call: int = 100
    checkpoint_every: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "n_valid", "steps_per_call")
        require_share(self, "quiet_share")
        if self.noise_std is not None:
            require_not_negative(self, "noise_std")


@dataclass
class JSLDSFitConfig(CommandConfig):
    """Settings of the command.

    Attributes:
        task: What the network is trained on.
        model: The network and its JSLDS.
        training: How they are trained.
        n_trials: Trials that the trained systems are run through, and that the files hold.
        name: What they are called in tables and figures; by default the task's name and ``jslds``.
    """

    task: TaskConfig = field(default_factory=BitMemoryConfig)
    model: JSLDSConfig = field(default_factory=JSLDSConfig)
    training: JSLDSTrainingConfig = field(default_factory=JSLDSTrainingConfig)
    n_trials: int = 1000
    name: str | None = None

    @property
    def noise_std(self) -> float:
        """Of the noise in training."""
        own = MEMORY_NOISE_STD if self.task.discrete_memories else 0.0
        return own if self.training.noise_std is None else self.training.noise_std

    def __post_init__(self) -> None:
        if self.n_trials < 10:
            raise ValueError(f"n_trials must be at least 10, got {self.n_trials}")
