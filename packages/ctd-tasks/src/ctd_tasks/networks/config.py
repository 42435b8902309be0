"""Settings of every network: `NETWORKS` maps a network's name to its dataclass. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

INITIAL_STATES = ("learned", "zero")


@dataclass
class NetworkConfig:
    """What all networks have.

    Attributes:
        units: length of the state.
        noise_std: standard deviation of the process noise, per bin, in training and in simulation.
        initial_state: the state before the first bin: one "learned" vector, or "zero".
        initial_noise_std: standard deviation of the noise added to it, drawn per trial.
        state_norm_weight: weight of the penalty mean over trials of ‖states of the trial‖₂: the norm of all
            its bins and units, not squared, as published for the flip-flop.
    """

    units: int = 128
    noise_std: float = 0.0
    initial_state: str = "learned"
    initial_noise_std: float = 0.0
    state_norm_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.units < 1:
            raise ValueError(f"units must be at least 1, got {self.units}")
        for name in ("noise_std", "initial_noise_std", "state_norm_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.initial_state not in INITIAL_STATES:
            raise ValueError(
                f"initial_state must be one of {', '.join(INITIAL_STATES)}, got {self.initial_state!r}"
            )


@dataclass
class VanillaRNNConfig(NetworkConfig):
    """x' = tanh(W x + U u + b)."""

    initial_state: str = "zero"


@dataclass
class LeakyRNNConfig(NetworkConfig):
    """x' = (1-α) x + α tanh(W x + U u + b + noise) (Driscoll et al. 2024).

    Attributes:
        alpha: bin width over time constant.
    """

    noise_std: float = 0.05
    initial_state: str = "zero"
    alpha: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.alpha <= 1:
            raise ValueError(f"alpha must lie in (0, 1], got {self.alpha}")


@dataclass
class GRUConfig(NetworkConfig):
    """A gated recurrent unit (Cho et al. 2014, in torch's form) without process noise."""

    initial_noise_std: float = 0.05


@dataclass
class NoisyGRUConfig(GRUConfig):
    """A gated recurrent unit with noise on every new state."""

    noise_std: float = 0.01


@dataclass
class NoisyGRUL2Config(NoisyGRUConfig):
    """A gated recurrent unit with noise on every new state and a penalty on the states' norm."""

    state_norm_weight: float = 1e-6


@dataclass
class NODEConfig(NetworkConfig):
    """x' = x + δ MLP([x, u]) with relu between the layers.

    Attributes:
        hidden: width of the hidden layers.
        layers: number of affine layers; 1 is a linear vector field.
        delta: δ, the size of the step.
    """

    units: int = 3
    hidden: int = 128
    layers: int = 3
    delta: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers < 1 or self.hidden < 1:
            raise ValueError(f"layers and hidden must be at least 1, got {self.layers} and {self.hidden}")


NETWORKS: dict[str, type[NetworkConfig]] = {
    "vanilla_rnn": VanillaRNNConfig,
    "leaky_rnn": LeakyRNNConfig,
    "gru": GRUConfig,
    "noisy_gru": NoisyGRUConfig,
    "noisy_gru_l2": NoisyGRUL2Config,
    "node": NODEConfig,
}
