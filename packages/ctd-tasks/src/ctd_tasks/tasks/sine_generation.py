"""Sine generation: oscillate at the frequency that a constant input names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from ctd_tasks.tasks.base import Rollout, Score, Task
from ctd_tasks.tasks.checks import at_least, positive
from ctd_tasks.tasks.scoring import close, scored_from
from ctd_tasks.tasks.trials import Trials


class SineDraws(NamedTuple):
    """The random numbers behind a batch of trials.

    Attributes:
        place: (trial,) in [0, 1), decides on the frequency.
        noise: (trial, time, input) standard normal.
    """

    place: np.ndarray
    noise: np.ndarray


@dataclass
class SineGeneration(Task):
    """A sine wave whose frequency in Hz is the input, held over the trial (Sussillo & Barak 2013).

    The target in the bin that starts at t is sin(2π f t): every trial begins at phase zero.

    Attributes:
        n_time: bins of a trial.
        bin_width_s: width of a bin.
        lowest_hz: the lowest frequency.
        highest_hz: the highest one.
        n_frequencies: frequencies at equal distances, each a condition; None for any between the bounds.
        noise_std: standard deviation of the white noise on the input.
        tolerance: a bin is right with its output within this of the target.
    """

    name: ClassVar[str] = "sine_generation"

    n_time: int = 100
    bin_width_s: float = 0.01
    lowest_hz: float = 1.0
    highest_hz: float = 4.0
    n_frequencies: int | None = 51
    noise_std: float = 0.0
    tolerance: float = 0.2

    def __post_init__(self) -> None:
        at_least(self, 1, "n_time")
        at_least(self, 0, "noise_std")
        positive(self, "bin_width_s", "lowest_hz", "tolerance")
        if self.n_frequencies is not None:
            at_least(self, 1, "n_frequencies")
        nyquist = 0.5 / self.bin_width_s
        if not self.lowest_hz <= self.highest_hz < nyquist:
            raise ValueError(
                f"highest_hz must be at least lowest_hz ({self.lowest_hz}) and below half a cycle per bin "
                f"({nyquist:g} Hz), got {self.highest_hz}"
            )

    @property
    def input_names(self) -> tuple[str, ...]:
        """One channel."""
        return ("frequency",)

    @property
    def target_names(self) -> tuple[str, ...]:
        """One channel."""
        return ("sine",)

    @property
    def condition_names(self) -> tuple[str, ...]:
        """The frequencies, where there is a number of them."""
        return tuple(f"{hz:.3f} Hz" for hz in self.frequencies_hz)

    @property
    def frequencies_hz(self) -> np.ndarray:
        """(condition,) the frequencies, lowest first; empty when any may be drawn."""
        return np.linspace(self.lowest_hz, self.highest_hz, self.n_frequencies or 0)

    def draw(self, generator: np.random.Generator, n_trials: int) -> Trials:
        """Draw trials, all at once."""
        return self.trials(self.draws(generator, n_trials))

    def draws(self, generator: np.random.Generator, n_trials: int) -> SineDraws:
        """Draw the random numbers of `n_trials` trials."""
        noise = generator.standard_normal((n_trials, self.n_time, 1), np.float32)
        return SineDraws(generator.random(n_trials), noise)

    def trials(self, draws: SineDraws) -> Trials:
        """Turn random numbers into trials; `ctd_tasks.testing.sine_generation_by_loop` is the twin."""
        if self.n_frequencies is None:
            condition = None
            frequency = self.lowest_hz + (self.highest_hz - self.lowest_hz) * draws.place
        else:
            condition = (self.n_frequencies * draws.place).astype(np.int32)
            frequency = self.frequencies_hz[condition]
        phase = 2 * np.pi * frequency[:, None] * (self.bin_width_s * np.arange(self.n_time))
        targets = np.sin(phase)[:, :, None].astype(np.float32)
        inputs_clean = np.broadcast_to(frequency[:, None, None].astype(np.float32), targets.shape)
        return Trials(
            inputs_clean + np.float32(self.noise_std) * draws.noise,
            inputs_clean.copy(),
            targets,
            **scored_from(0, targets),
            columns={"frequency_hz": frequency.astype(np.float32)},
            condition=condition,
        )

    def success(self, rollout: Rollout, trials: Trials) -> Score:
        """Count the bins whose output is within `tolerance` of the sine."""
        return close(rollout, trials, self.tolerance)
