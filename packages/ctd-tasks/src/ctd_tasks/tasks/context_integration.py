"""Context-dependent integration: sum the stream of evidence that the context names, ignore the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np

from ctd_tasks.tasks.base import Rollout, Score, Task
from ctd_tasks.tasks.checks import at_least, fraction, one_of, positive
from ctd_tasks.tasks.scoring import close, scored_from
from ctd_tasks.tasks.trials import Trials

STREAMS_OF_EVIDENCE = ("motion", "color")
BIASES = ("uniform", "normal", "grid")
GRID = (-0.04, -0.02, -0.009, 0.009, 0.02, 0.04)
# A switch leaves at least two bins on either side of itself.
SWITCH_MARGIN = 2


class ContextDraws(NamedTuple):
    """The random numbers behind a batch of trials.

    Attributes:
        bias: (trial, stream) mean of each stream of evidence.
        noise: (trial, time, stream) standard normal.
        context: (trial,) the stream that is cued first.
        switch_bin: (trial,) first bin of the other context, -1 for no switch.
    """

    bias: np.ndarray
    noise: np.ndarray
    context: np.ndarray
    switch_bin: np.ndarray


@dataclass
class ContextIntegration(Task):
    """The running sum of one of two noisy streams, motion and colour (Mante et al. 2013; Smith et al. 2021).

    Inputs are the two streams, each its bias plus white noise, and two context lines, of which the one of
    the cued stream is 1. The target is the sum over bins (not times their width) of what was cued in each.

    Attributes:
        n_time: bins of a trial.
        bin_width_s: width of a bin.
        noise_std: standard deviation of the streams per square root of a second: a bin has
            noise_std / sqrt(bin_width_s).
        biases: distribution of a stream's bias, drawn per trial: "uniform" in [-bias_scale, bias_scale];
            "normal" with mean -bias_scale and twice that as standard deviation, as published; "grid" for
            the 36 pairs of ±0.04, ±0.02 and ±0.009 in both contexts, each equally often.
        bias_scale: see `biases`.
        switch_probability: fraction of trials in which the context changes, at a bin drawn uniformly from
            2 to n_time - 2. The sum goes on with the other stream.
        tolerance: a bin is right with its output within this of the target.
        simulation_biases: `biases` of the simulation set; None for those in training.
        simulation_switch_probability: the same for `switch_probability`.
    """

    name: ClassVar[str] = "context_integration"

    n_time: int = 25
    bin_width_s: float = 0.04
    noise_std: float = 0.025
    biases: str = "uniform"
    bias_scale: float = 0.01
    switch_probability: float = 0.0
    tolerance: float = 0.1
    simulation_biases: str | None = None
    simulation_switch_probability: float | None = None

    def __post_init__(self) -> None:
        at_least(self, 1, "n_time")
        at_least(self, 0, "noise_std", "bias_scale")
        positive(self, "bin_width_s", "tolerance")
        one_of(self, BIASES, "biases")
        one_of(self, (*BIASES, None), "simulation_biases")
        fraction(self, "switch_probability", "simulation_switch_probability")
        switches = self.switch_probability or self.simulation_switch_probability
        if switches and self.n_time < 2 * SWITCH_MARGIN:
            raise ValueError(f"n_time must be at least {2 * SWITCH_MARGIN} with switches, got {self.n_time}")

    @property
    def input_names(self) -> tuple[str, ...]:
        """The two streams, then their context lines."""
        return (*STREAMS_OF_EVIDENCE, *(f"attend {stream}" for stream in STREAMS_OF_EVIDENCE))

    @property
    def target_names(self) -> tuple[str, ...]:
        """One channel."""
        return ("integral",)

    @property
    def condition_names(self) -> tuple[str, ...]:
        """The courses of the context; with biases of the grid, their combinations with these."""
        courses = STREAMS_OF_EVIDENCE
        if self.switch_probability:
            courses = (*courses, "motion then color", "color then motion")
        if self.biases != "grid":
            return courses
        pairs = [f"motion {motion:+g}, color {color:+g}" for motion in GRID for color in GRID]
        return tuple(f"{course}: {pair}" for course in courses for pair in pairs)

    def for_simulation(self) -> ContextIntegration:
        """Return the task with the simulation set's own biases and switches."""
        own = {"biases": self.simulation_biases, "switch_probability": self.simulation_switch_probability}
        return replace(self, **{name: value for name, value in own.items() if value is not None})

    def draw(self, generator: np.random.Generator, n_trials: int) -> Trials:
        """Draw trials, all at once."""
        return self.trials(self.draws(generator, n_trials))

    def draws(self, generator: np.random.Generator, n_trials: int) -> ContextDraws:
        """Draw the random numbers of `n_trials` trials."""
        noise = generator.standard_normal((n_trials, self.n_time, 2), np.float32)
        context = generator.integers(2, size=n_trials)
        if self.biases == "grid":
            # From a random place on, so that blocks don't all favour the same conditions.
            place = (generator.integers(72) + generator.permutation(n_trials)) % 72
            pair, context = np.divmod(place, 2)
            bias = np.array(GRID)[np.stack(np.divmod(pair, len(GRID)), axis=1)]
        elif self.biases == "uniform":
            bias = self.bias_scale * generator.uniform(-1, 1, (n_trials, 2))
        else:
            bias = self.bias_scale * 2 * (generator.standard_normal((n_trials, 2)) - 0.5)
        switched = generator.random(n_trials) < self.switch_probability
        last = max(SWITCH_MARGIN, self.n_time - SWITCH_MARGIN)
        switch_bin = generator.integers(SWITCH_MARGIN, last, size=n_trials, endpoint=True)
        return ContextDraws(bias, noise, context, np.where(switched, switch_bin, -1))

    def trials(self, draws: ContextDraws) -> Trials:
        """Turn random numbers into trials; `ctd_tasks.testing.context_integration_by_loop` is the twin."""
        time, start = np.arange(self.n_time), draws.switch_bin[:, None]
        cued = draws.context[:, None] ^ ((time >= start) & (start >= 0))
        lines = (cued[:, :, None] == np.arange(2)).astype(np.float32)
        bias = np.broadcast_to(draws.bias[:, None].astype(np.float32), draws.noise.shape)
        streams = bias + np.float32(self.noise_std / np.sqrt(self.bin_width_s)) * draws.noise
        targets = np.cumsum((streams * lines).sum(axis=2, keepdims=True), axis=1)
        scored = scored_from(0, targets)
        scored["phases"] |= self._contexts(draws)
        return Trials(
            np.concatenate([streams, lines], axis=2),
            np.concatenate([bias, lines], axis=2),
            targets,
            **scored,
            columns=_columns(draws),
            condition=self._condition(draws),
        )

    def success(self, rollout: Rollout, trials: Trials) -> Score:
        """Count the bins whose output is within `tolerance` of the integral."""
        return close(rollout, trials, self.tolerance)

    def _contexts(self, draws: ContextDraws) -> dict[str, np.ndarray]:
        """The bins in which each stream is cued, one interval per trial and stream."""
        switched = draws.switch_bin >= 0
        end = np.where(switched, draws.switch_bin, self.n_time)
        first = np.stack([np.zeros_like(end), end], axis=1)
        second = np.where(switched[:, None], np.stack([end, np.full_like(end, self.n_time)], axis=1), -1)
        return {
            stream: np.where((draws.context == k)[:, None], first, second).astype(np.int32)
            for k, stream in enumerate(STREAMS_OF_EVIDENCE)
        }

    def _condition(self, draws: ContextDraws) -> np.ndarray:
        course = draws.context + 2 * (draws.switch_bin >= 0)
        if self.biases == "grid":
            motion, color = np.searchsorted(GRID, draws.bias).T
            course = len(GRID) * (len(GRID) * course + motion) + color
        return course.astype(np.int32)


def _columns(draws: ContextDraws) -> dict[str, np.ndarray]:
    biases = {f"{stream}_bias": draws.bias[:, k] for k, stream in enumerate(STREAMS_OF_EVIDENCE)}
    whole = {"context": draws.context, "switch_bin": draws.switch_bin}
    return {name: column.astype(np.float32) for name, column in biases.items()} | {
        name: column.astype(np.int32) for name, column in whole.items()
    }
