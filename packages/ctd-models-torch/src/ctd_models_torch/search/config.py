"""Settings of a search and their defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ctd_models_torch.config import require

STARTS = ("uniform", "log_uniform", "fixed")


def _choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    require(value in choices, f"{name} is one of {', '.join(choices)}", value)


@dataclass
class RangeConfig:
    """One hyperparameter of a search.

    Attributes:
        key: Its place in the configuration, say ``training.learning_rate`` or ``model.kl.controls``.
        low: Lower bound.
        high: Upper bound.
        start: How the members' first values are drawn between the bounds: ``"uniform"``, ``"log_uniform"``,
            or ``"fixed"``, which gives all of them `value`.
        value: See `start`.
        weight: Largest relative change when a value is perturbed.
        enforce: Whether perturbed values stay within the bounds; else these hold for the first values alone.
    """

    key: str = "???"
    low: float = 0.0
    high: float = 1.0
    start: str = "uniform"
    value: float | None = None
    weight: float = 0.3
    enforce: bool = True

    def __post_init__(self) -> None:
        name = f"search.space: {self.key}:"
        _choice(f"{name} start", self.start, STARTS)
        bounds = math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high
        require(bounds, f"{name} low is at most high, both finite", f"{self.low:g} and {self.high:g}")
        logarithmic = self.start == "log_uniform"
        require(not logarithmic or self.low > 0, f"{name} log_uniform needs low above 0", self.low)
        require(0 < self.weight < 1, f"{name} weight is in (0, 1)", self.weight)
        given = (self.value is not None) == (self.start == "fixed")
        require(given, f"{name} start=fixed, and only that, takes a value", self.value)
        inside = self.value is None or self.low <= self.value <= self.high
        require(inside, f"{name} value is within the bounds", self.value)


@dataclass
class StopConfig:
    """When nothing is gained any more: (first - least) / mean |·| of the last generations' best scores.

    Attributes:
        generations: How many generations that is looked at.
        ratio: The search stops at so little or less; null never stops for that.
    """

    generations: int = 4
    ratio: float | None = 5e-4

    def __post_init__(self) -> None:
        require(self.generations >= 2, "search.stop.generations is at least 2", self.generations)
        require(self.ratio is None or self.ratio >= 0, "search.stop.ratio is at least 0 or null", self.ratio)


@dataclass
class SearchConfig:
    """How hyperparameters are searched; the search ends after ``training.max_epochs`` at the latest.

    Attributes:
        kind: ``"pbt"``, population-based training by binary tournaments (Jaderberg et al. 2017; Keshtkaran et
            al. 2022), or ``"random"``, in which every member keeps its first values.
        population: Number of members.
        generation_epochs: Epochs between two tournaments.
        burn_in_epochs: No tournament before so many epochs; by default one generation after the weights of
            the loss have risen.
        space: What is searched; by default what suits the model, for LFADS as published.
        stop: When nothing is gained any more.
        monitor: Score of the validation trials that members are compared by; it is smoothed by
            ``training.smoothing``.
        mode: ``"min"`` or ``"max"``: which score is good.
        batched: ``"true"`` trains all members as one batched model, ``"false"`` one after another, and
            ``"auto"`` the first on a GPU and the second on a CPU, where it is faster.
        runner: ``"local"`` for this process, or ``"ray"`` for workers of Ray, one member a worker.
        ray_address: Of a Ray cluster; null starts one on this machine.
        ray_cpus: Cores that Ray reserves for a member.
        ray_gpus: GPUs that Ray reserves for a member; 0.5 lets two share one.
    """

    kind: str = "pbt"
    population: int = 20
    generation_epochs: int = 25
    burn_in_epochs: int | None = None
    space: list[RangeConfig] | None = None
    stop: StopConfig = field(default_factory=StopConfig)
    monitor: str = "loss"
    mode: str = "min"
    batched: str = "auto"
    runner: str = "local"
    ray_address: str | None = None
    ray_cpus: float = 1.0
    ray_gpus: float = 0.0

    def __post_init__(self) -> None:
        self.batched = self.batched.lower()
        _choice("search.kind", self.kind, ("pbt", "random"))
        _choice("search.mode", self.mode, ("min", "max"))
        _choice("search.batched", self.batched, ("auto", "true", "false"))
        _choice("search.runner", self.runner, ("local", "ray"))
        least = 2 if self.kind == "pbt" else 1
        require(self.population >= least, f"search.population is at least {least}", self.population)
        require(self.generation_epochs >= 1, "search.generation_epochs is at least 1", self.generation_epochs)
        burn_in = self.burn_in_epochs
        require(burn_in is None or burn_in >= 0, "search.burn_in_epochs is at least 0 or null", burn_in)
        ray = self.runner == "ray"
        require(ray or self.ray_address is None, "search.ray_address is for runner=ray", self.ray_address)
        require(not ray or self.batched != "true", "batched=true is for runner=local", self.runner)
        for name in ("ray_cpus", "ray_gpus"):
            require(getattr(self, name) >= 0, f"search.{name} is at least 0", getattr(self, name))
