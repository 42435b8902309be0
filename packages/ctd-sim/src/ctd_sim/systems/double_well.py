"""Evidence in a double well that moves a second region, until a switch sends both back.

Two regions of two latents each. In the mode `accumulate` clicks push the first region's (a, b) into one of
the wells of a at -1 and 1, while b draws the second region's (c, d) from the minimum of c exp(-c² - d²)
near c = -0.71 up to its maximum near 0.71. There the mode `return` begins, in which the second region slides
back, and the first forgets a and restores b.

Source: the double-well simulator of MR-SDS (O. Karniol-Tambour and others, ICLR 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ctd_sim.random_streams import stream
from ctd_sim.systems.base import Floats, Integers, Parts, RegionalConfig, RegionalSystem, Trials, rollout

ACCUMULATE, RETURN = 0, 1
CLICK = 0.55
CLICK_BINS = (3, 20)
CLICK_MEANS = (5.0, 20.0)
START = (0.0, 0.5, -0.725, 0.0)
# Where the second region is at rest in either mode, about.
LOW, HIGH = -0.725, 0.725
# Standard deviation of the noise of a bin, (mode, state).
NOISE = np.array(
    [
        [0.075 * 0.008 * 0.05, 0.075 * 0.008 * 0.05, 0.08 * 0.2 * 0.025, 0.08 * 0.2 * 0.45],
        [0.06 * 0.025 * 7.5, 0.06 * 0.025 * 2.0, 0.1 * 0.2 * 0.075, 0.1 * 0.2 * 0.2],
    ]
)


def accumulate_local(x: Floats) -> Floats:
    """Local parts of both regions in the mode `accumulate`, (..., state)."""
    a, b, c, d = np.moveaxis(x, -1, 0)
    bump = np.exp(-(c**2) - d**2)
    return np.stack(
        [0.075 * (a - a**3), -0.075 * b, 0.08 * (1 - 2 * c**2) * bump, -0.16 * c * d * bump], axis=-1
    )


def return_local(x: Floats) -> Floats:
    """Local parts of both regions in the mode `return`, (..., state)."""
    a, b, c, d = np.moveaxis(x, -1, 0)
    bump = np.exp(-(c**2) - d**2)
    rest = np.clip(2 * b, 0.0, 1.0)
    growing, resting = 0.55 * (b + 0.04 * np.abs(a)), 0.45 - b
    return np.stack(
        [
            -0.06 * (1 + rest) * a,
            0.06 * ((1 - rest) * growing + rest * resting),
            -0.1 * (1 - 2 * c**2) * bump - 0.015,
            0.2 * c * d * bump,
        ],
        axis=-1,
    )


class DoubleWell(RegionalSystem):
    """The map of both modes.

    Args:
        noise: Factor of the process noise.
    """

    def __init__(self, noise: float = 1.0) -> None:
        super().__init__(
            {"accumulator": 2, "follower": 2}, inputs=("clicks", "switch"), modes=("accumulate", "return")
        )
        self._noise = noise * NOISE

    def parts(self, x: Floats, u: Floats, mode: Integers) -> Parts:
        """As in the base class; u acts on the first region alone, each channel on a state of its own."""
        returning = np.asarray(mode)[..., None] == RETURN
        local = np.where(returning, return_local(x), accumulate_local(x))
        messages = np.zeros((*local.shape[:-1], 2, 4))
        messages[..., 0, :2], messages[..., 1, 2:] = local[..., :2], local[..., 2:]
        returning = returning[..., 0]
        messages[..., 0, 2] = np.where(returning, 0.0, 0.125 * 0.75 * x[..., 1])
        messages[..., 1, 1] = np.where(returning, 0.025 * 0.35 * np.abs(x[..., 2] - LOW), 0.0)
        input_messages = np.zeros((*local.shape[:-1], 2, 4))
        gain = np.where(returning, 0.06, 0.075)
        input_messages[..., 0, 0], input_messages[..., 1, 1] = gain * u[..., 0], gain * u[..., 1]
        return Parts(messages, input_messages)

    def noise(self, x: Floats, mode: Integers, normal: Floats) -> Floats:
        """Independent normal noise with a spread of each mode and state."""
        del x
        return self._noise[mode] * normal


def switch_probability(x: Floats) -> Floats:
    """Probability that a trial in the mode `accumulate` at x (..., state) gets its switch now."""
    return np.exp(-40.0 * np.minimum(1.0, np.abs(x[..., 2] - HIGH)))


def clicks(trials: int, bins: int, random: np.random.Generator) -> Floats:
    """Clicks of all trials, (trial, time): the left ones push down, the right ones up.

    One side, drawn for each trial, has 5 clicks on average and the other 20, at independent times.
    """
    means = np.where(random.random(trials)[:, None] < 0.5, CLICK_MEANS, CLICK_MEANS[::-1])
    pushes = np.zeros((trials, bins))
    last = min(CLICK_BINS[1], bins)
    for sign, count in zip((-1.0, 1.0), random.poisson(means).T, strict=True):
        trial = np.repeat(np.arange(trials), count)
        if last > CLICK_BINS[0]:
            np.add.at(pushes, (trial, random.integers(CLICK_BINS[0], last, len(trial))), sign * CLICK)
    return pushes


@dataclass
class DoubleWellConfig(RegionalConfig):
    """Double well: clicks move one region, which moves another; a switch sends both back.

    It departs from the published simulator in these points. The way back acts through c's distance from the
    low end, a function of the second region's state, where the published code takes that region's increment
    (its own comment speaks of the state). Noise is independent for each state, where one number moved both
    of a region, whose covariance then has no inverse. The factor between growth and rest of b is not
    rounded to hundredths. Each trial starts anew, so sequences of 15 trials have no meaning; a trial that
    never switches stays in the first mode.

    From the one published start b falls and c rises along the same curve in every trial: in the mode
    `accumulate` each tells the other to a thousandth, so that the message b -> c could as well be a function
    of c, and of states known to 0.3 % of their spread a regression finds it with the wrong sign. Starts that
    differ (`preset=spread_start`) make messages a property of the data: then it finds a cosine of 0.99, and
    above 0.9 of states known to 3 %.

    Attributes:
        start_std: Standard deviation of the states before the first bin around the published start, the same
            for all four; 0 for that start alone.
    """

    label: ClassVar[str] = "double_well"

    trials: int = 450
    bins: int = 75
    start_std: float = 0.0

    def check(self) -> None:
        """Refuse settings that make no sense."""
        super().check()
        if not (np.isfinite(self.start_std) and self.start_std >= 0):
            raise ValueError(f"system.start_std must be zero or above, got {self.start_std}")

    def simulate(self, seed: int) -> tuple[DoubleWell, Trials]:
        """Draw the trials: a cue in bin k, drawn by the state before it, begins the second mode in k + 1."""
        system, random = DoubleWell(self.noise), stream(seed, "double well")
        shape = (self.trials, self.bins)
        inputs, mode = np.zeros((*shape, 2)), np.zeros(shape, np.int64)
        inputs[..., 0] = clicks(*shape, random)
        chance, normal = random.random(shape), random.standard_normal((*shape, 4))

        def switch(k: int, x: Floats) -> None:
            now = (mode[:, k] == ACCUMULATE) & (chance[:, k] < switch_probability(x))
            inputs[now, k, 1] = 1.0
            mode[now, k + 1 :] = RETURN

        initial = np.tile(START, (self.trials, 1))
        initial += self.start_std * random.standard_normal(initial.shape)
        return system, rollout(system, initial, inputs, mode, normal, before_bin=switch)
