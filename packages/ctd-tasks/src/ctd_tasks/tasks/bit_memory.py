"""The N-bit memory: every bit tells the sign of the last pulse, which came on one of its two lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from ctd_tasks.tasks.base import Rollout, Score, Task
from ctd_tasks.tasks.checks import at_least, fraction, positive
from ctd_tasks.tasks.pulses import last_pulse, signed_pulses
from ctd_tasks.tasks.scoring import count, scored_from
from ctd_tasks.tasks.trials import Trials


class BitMemoryDraws(NamedTuple):
    """The random numbers behind a batch of trials.

    Attributes:
        uniform: (trial, time, bit) in [0, 1), decides on pulses.
        noise: (trial, time, input) standard normal.
    """

    uniform: np.ndarray
    noise: np.ndarray


@dataclass
class BitMemory(Task):
    """N bits of -1 or 1, each the sign of its last pulse and -1 before the first (Smith et al. 2021, JSLDS).

    A bit has two input lines: a pulse of -1 is a one on its first, a pulse of 1 a one on its second.

    Attributes:
        n_bits: number of bits.
        n_time: bins of a trial.
        bin_width_s: width of a bin; the task has no time of its own, so this is a convention.
        pulse_probability: probability of a pulse, per bin of time and bit; either sign is as likely. As
            published -1, 0 and 1 are equally likely.
        noise_std: standard deviation of the white noise on the inputs.
        ignored_bins: first bins that the mask leaves out.
    """

    name: ClassVar[str] = "bit_memory"

    n_bits: int = 3
    n_time: int = 25
    bin_width_s: float = 0.01
    pulse_probability: float = 2 / 3
    noise_std: float = 0.0
    ignored_bins: int = 5

    def __post_init__(self) -> None:
        at_least(self, 1, "n_bits", "n_time")
        at_least(self, 0, "noise_std", "ignored_bins")
        positive(self, "bin_width_s")
        fraction(self, "pulse_probability")
        if self.ignored_bins >= self.n_time:
            raise ValueError(f"ignored_bins must leave one of {self.n_time} bins, got {self.ignored_bins}")

    @property
    def input_names(self) -> tuple[str, ...]:
        """Two lines per bit, the one for pulses of -1 first."""
        return tuple(f"bit {bit} {way}" for bit in range(self.n_bits) for way in ("down", "up"))

    @property
    def target_names(self) -> tuple[str, ...]:
        """One channel per bit."""
        return tuple(f"bit {bit}" for bit in range(self.n_bits))

    def draw(self, generator: np.random.Generator, n_trials: int) -> Trials:
        """Draw trials, all at once."""
        return self.trials(self.draws(generator, n_trials))

    def draws(self, generator: np.random.Generator, n_trials: int) -> BitMemoryDraws:
        """Draw the random numbers of `n_trials` trials."""
        shape = (n_trials, self.n_time, self.n_bits)
        uniform = generator.random(shape, dtype=np.float32)
        return BitMemoryDraws(uniform, generator.standard_normal((*shape[:2], 2 * shape[2]), np.float32))

    def trials(self, draws: BitMemoryDraws) -> Trials:
        """Turn random numbers into trials; `ctd_tasks.testing.bit_memory_by_loop` is the obvious twin."""
        pulses = signed_pulses(draws.uniform, self.pulse_probability / 2)
        lines = np.stack([pulses < 0, pulses > 0], axis=-1).reshape(draws.noise.shape)
        inputs_clean = lines.astype(np.float32)
        inputs = inputs_clean + np.float32(self.noise_std) * draws.noise
        targets = np.where(last_pulse(pulses), np.float32(1), np.float32(-1))
        return Trials(inputs, inputs_clean, targets, **scored_from(self.ignored_bins, targets))

    def success(self, rollout: Rollout, trials: Trials) -> Score:
        """Count the scored bins and bits whose output has the target's sign."""
        return count((rollout.outputs > 0) == (trials.targets > 0), trials)
