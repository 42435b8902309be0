"""Settings of BAND, and their defaults."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctd_models_torch.config import require, require_mlp
from ctd_models_torch.lfads.config import LFADSConfig, LFADSFitConfig, require_choice

BEHAVIOR_DECODERS = ("all_lags", "lag_limited", "per_bin", "mlp")


@dataclass
class BehaviorConfig:
    """The decoder of behaviour from factors, one for each recording of a fit.

    Attributes:
        decoder: ``"all_lags"``, as published: linear from all bins of a trial to all bins of its behaviour,
            so it is neither causal nor applicable to longer trials; ``"lag_limited"``: the same linear filter
            in every bin, over `past_bins` and `future_bins`; ``"per_bin"``: linear from the same bin;
            ``"mlp"``: a multilayer perceptron over the bins of ``lag_limited``.
        weight: Of ½ (b - b̂)² beside the reconstruction, with behaviour in units of its standard deviation.
            0 is LFADS: behaviour is then neither decoded nor written.
        dropout: Ordinary dropout on the factors that the decoder gets, on top of the model's own.
        past_bins: Of ``lag_limited`` and ``mlp``: bins before the decoded one that are read.
        future_bins: Likewise bins after it; 0 makes the decoder causal.
        hidden_size: Of ``mlp``: units of each hidden layer.
        hidden_layers: Of ``mlp``.
        activation: Of ``mlp``: ``"relu"``, ``"tanh"`` or ``"softplus"``.
    """

    decoder: str = "all_lags"
    weight: float = 0.1
    dropout: float = 0.0
    past_bins: int = 5
    future_bins: int = 0
    hidden_size: int = 32
    hidden_layers: int = 1
    activation: str = "relu"

    def __post_init__(self) -> None:
        require_choice("behavior.decoder", self.decoder, BEHAVIOR_DECODERS)
        require(0 <= self.dropout < 1, "behavior.dropout is in [0, 1)", self.dropout)
        for name in ("weight", "past_bins", "future_bins"):
            require(getattr(self, name) >= 0, f"behavior.{name} is at least 0", getattr(self, name))
        require_mlp(self.hidden_size, self.hidden_layers, self.activation)


@dataclass
class BANDConfig(LFADSConfig):
    """BAND: LFADS whose factors also have to tell the behaviour (Kudryashova et al. 2025).

    Attributes:
        behavior: Decoder and weight of the behaviour.
    """

    behavior: BehaviorConfig = field(default_factory=BehaviorConfig)

    @property
    def predicts_behavior(self) -> bool:
        """See ModelConfig."""
        return self.behavior.weight > 0


@dataclass
class BANDFitConfig(LFADSFitConfig):
    """For `BANDConfig`."""
