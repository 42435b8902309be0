"""Settings of the read-in, and their defaults."""

from __future__ import annotations

from dataclasses import dataclass

from ctd_models_torch.config import require

INITIAL_READ_INS = ("random", "principal_components")


@dataclass
class ReadInConfig:
    """An affine map of each recording from its neurons to channels that encoders read.

    Attributes:
        size: Channels; null for none with one recording, and as many as factors with several; 0 for none,
            which several recordings of the same neurons can do with.
        trained: Whether it is trained; else it stays as it starts.
        initialize: ``"random"``; or ``"principal_components"``: channels start as the principal components
            of the condition averages of all recordings, in each by regression on its own neurons, and a
            linear readout of as many factors starts as the way back (see `sessions.alignment`).
        conditions: Column of ``trials`` with the conditions that are averaged.
        smoothing_s: Standard deviation of the Gaussian that smooths the averages over time, s; 0 for none.
        ridge: Penalty of the regression, for neurons of variance 1.
    """

    size: int | None = None
    trained: bool = True
    initialize: str = "random"
    conditions: str = "condition"
    smoothing_s: float = 0.02
    ridge: float = 1.0

    def __post_init__(self) -> None:
        require(self.size is None or self.size >= 0, "read_in.size is at least 0 or null", self.size)
        rule = f"read_in.initialize is one of {', '.join(INITIAL_READ_INS)}"
        require(self.initialize in INITIAL_READ_INS, rule, self.initialize)
        for name in ("smoothing_s", "ridge"):
            require(getattr(self, name) >= 0, f"read_in.{name} is at least 0", getattr(self, name))
