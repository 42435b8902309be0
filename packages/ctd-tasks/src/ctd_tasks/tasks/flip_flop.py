"""The N-bit flip-flop: every bit remembers the sign of the last pulse on its channel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np

from ctd_tasks.tasks.base import Rollout, Score, Task
from ctd_tasks.tasks.checks import at_least, fraction, one_of, positive
from ctd_tasks.tasks.pulses import last_pulse, signed_pulses
from ctd_tasks.tasks.trials import Trials

AVERAGES = ("published", "counted")
STIMULUS_RANGE = (0.5, 1.5)


class FlipFlopDraws(NamedTuple):
    """The random numbers behind a batch of trials.

    Attributes:
        uniform: (trial, time, bit) in [0, 1), decides on pulses.
        noise: (trial, time, bit) standard normal.
        stimulated_bit: (trial,) the stimulated bit, -1 for none.
        stimulus: (trial,) its amplitude.
    """

    uniform: np.ndarray
    noise: np.ndarray
    stimulated_bit: np.ndarray
    stimulus: np.ndarray


@dataclass
class FlipFlop(Task):
    """N bits, each set by a pulse of +1 and reset by one of -1 on its own channel (Sussillo & Barak 2013).

    Attributes:
        n_bits: number of bits.
        n_time: bins of a trial.
        bin_width_s: width of a bin; the task has no time of its own, so this is a convention.
        noise_std: standard deviation of the white noise on the inputs.
        switch_probability: probability of a pulse of each sign, per bin and bit.
        transition_blind: bins after a change of a bit (the change's own excluded) that its mask leaves out.
        quiet_bins: first bins without pulses.
        ignored_bins: first bins that the mask leaves out.
        average: "published" divides the loss by all elements, masked ones too; "counted" by unmasked ones.
        stimulation_probability: fraction of trials in which a constant of U(0.5, 1.5) is added to the input
            of one random bit in the middle half of the trial. The bit's target still follows its pulses.
        simulation_stimulation_probability: the same in the simulation set; None for the value in training.
    """

    name: ClassVar[str] = "flip_flop"

    n_bits: int = 3
    n_time: int = 500
    bin_width_s: float = 0.01
    noise_std: float = 0.15
    switch_probability: float = 0.01
    transition_blind: int = 4
    quiet_bins: int = 3
    ignored_bins: int = 5
    average: str = "published"
    stimulation_probability: float = 0.0
    simulation_stimulation_probability: float | None = None

    def __post_init__(self) -> None:
        at_least(self, 1, "n_bits", "n_time")
        at_least(self, 0, "transition_blind", "quiet_bins", "ignored_bins", "noise_std")
        positive(self, "bin_width_s")
        fraction(self, "switch_probability", high=0.5)
        fraction(self, "stimulation_probability", "simulation_stimulation_probability")
        one_of(self, AVERAGES, "average")

    @property
    def input_names(self) -> tuple[str, ...]:
        """One channel of pulses per bit."""
        return tuple(f"pulse {bit}" for bit in range(self.n_bits))

    @property
    def target_names(self) -> tuple[str, ...]:
        """One channel per bit."""
        return tuple(f"bit {bit}" for bit in range(self.n_bits))

    @property
    def condition_names(self) -> tuple[str, ...]:
        """Without stimulation there are no conditions; with it, none and one per stimulated bit."""
        if not self.stimulation_probability:
            return ()
        return ("no stimulation", *(f"bit {bit} stimulated" for bit in range(self.n_bits)))

    @property
    def stimulation_bins(self) -> tuple[int, int]:
        """Half-open bins of a stimulus: the middle half of the trial."""
        return self.n_time // 4, 3 * self.n_time // 4

    def for_simulation(self) -> FlipFlop:
        """Return the task with the simulation set's own fraction of stimulated trials."""
        if self.simulation_stimulation_probability is None:
            return self
        return replace(self, stimulation_probability=self.simulation_stimulation_probability)

    def draw(self, generator: np.random.Generator, n_trials: int) -> Trials:
        """Draw trials, all at once."""
        return self.trials(self.draws(generator, n_trials))

    def draws(self, generator: np.random.Generator, n_trials: int) -> FlipFlopDraws:
        """Draw the random numbers of `n_trials` trials."""
        shape = (n_trials, self.n_time, self.n_bits)
        uniform = generator.random(shape, dtype=np.float32)
        noise = generator.standard_normal(shape, dtype=np.float32)
        stimulated = generator.random(n_trials) < self.stimulation_probability
        bit = generator.integers(self.n_bits, size=n_trials)
        stimulus = generator.uniform(*STIMULUS_RANGE, size=n_trials).astype(np.float32)
        return FlipFlopDraws(uniform, noise, np.where(stimulated, bit, -1), np.where(stimulated, stimulus, 0))

    def trials(self, draws: FlipFlopDraws) -> Trials:
        """Turn random numbers into trials; `ctd_tasks.testing.flip_flop_by_loop` is the obvious twin."""
        pulses = signed_pulses(draws.uniform, self.switch_probability)
        pulses[:, : self.quiet_bins] = 0
        targets = last_pulse(pulses)
        inputs_clean = pulses.astype(np.float32)
        if self.stimulation_probability:
            self._stimulate(inputs_clean, draws)
        inputs = draws.noise * np.float32(self.noise_std)
        inputs += inputs_clean
        return Trials(
            inputs, inputs_clean, targets.astype(np.float32), self._mask(targets), **self._labels(draws)
        )

    def loss(self, rollout: Rollout, trials: Trials, *, epoch: int = 0) -> dict:
        """Squared error × mask, averaged as `average` says."""
        terms = super().loss(rollout, trials, epoch=epoch)
        if self.average == "counted":
            terms["error"] = terms["error"] / trials.mask.mean()
        return terms

    def success(self, rollout: Rollout, trials: Trials) -> Score:
        """Count the bins and bits outside transition windows whose output is on the right side of 0.5.

        The window is the bin of a change and those that the mask leaves out after it: within the change's
        own bin the loss already asks for the new value, but nothing says how soon a network must give it.
        """
        counted = (trials.mask > 0) & ~_changes(trials.targets > 0.5)
        right = ((rollout.outputs > 0.5) == (trials.targets > 0.5)) & counted
        return Score(right.sum(axis=(1, 2)), counted.sum(axis=(1, 2)))

    def _mask(self, targets: np.ndarray) -> np.ndarray:
        """Weights of the loss (Sussillo & Barak's task as the benchmark CtDB scores it)."""
        unchanged = ~_changes(targets)
        scored = np.ones(targets.shape, bool)
        scored[:, : self.ignored_bins] = False
        for lag in range(1, min(self.transition_blind, self.n_time - 1) + 1):
            scored[:, lag:] &= unchanged[:, :-lag]
        return scored.astype(np.float32)

    def _stimulate(self, inputs_clean: np.ndarray, draws: FlipFlopDraws) -> None:
        """Add the stimuli to the clean inputs, in place."""
        rows = np.flatnonzero(draws.stimulated_bit >= 0)
        start, stop = self.stimulation_bins
        inputs_clean[rows, start:stop, draws.stimulated_bit[rows]] += draws.stimulus[rows, None]

    def _labels(self, draws: FlipFlopDraws) -> dict:
        """Which trials were stimulated, when, where and how much: empty without stimulation."""
        if not self.stimulation_probability:
            return {}
        stimulated = draws.stimulated_bit >= 0
        phase = np.where(stimulated[:, None], np.array(self.stimulation_bins), -1).astype(np.int32)
        columns = {"stimulated_bit": draws.stimulated_bit.astype(np.int32), "stimulus": draws.stimulus}
        condition = (draws.stimulated_bit + 1).astype(np.int32)
        return {"phases": {"stimulation": phase}, "columns": columns, "condition": condition}


def _changes(targets: np.ndarray) -> np.ndarray:
    """Return (trial, time, bit) whether a bit differs from the bin before; before the first all are 0."""
    changed = targets.copy()
    np.not_equal(targets[:, 1:], targets[:, :-1], out=changed[:, 1:])
    return changed
