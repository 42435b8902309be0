"""Three random networks that excite each other weakly, two of them driven from outside.

In each region r[k] = r[k-1] + s (tanh(J r) - r) + s sum_j tanh(w_j r_j) + s v h, s = step over time constant:
J within the region, w_j from region j, and h a moving bump (to B) or a constant pattern (to C).

Source: the three-region network of CURBD (M. Perich and others, 2020) as MR-SDS uses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ctd_sim.random_streams import stream
from ctd_sim.systems.base import Floats, Integers, Parts, RegionalConfig, RegionalSystem, Trials, rollout

GAINS = (1.8, 1.5, 1.5)
STEP_OVER_TAU = 0.1
LEAD_BINS = 200
NOISE = (0.001, 0.015, 0.02)
EXTERNAL_SHARE = 0.5
BUMP_STD = 0.2
N_COMPONENTS = 3
DRIVES = (1.0, -1.0)  # of the sequence to B and of the constant pattern to C


class ThreeRegionRNN(RegionalSystem):
    """Three networks A, B and C.

    Args:
        units: Of each region.
        share: Part of the connections between two regions that aren't zero.
        amplitude: Of these, whose signs are random.
        noise: Factor of the process noise.
        seed: Of all weights.

    Attributes:
        within: Weights inside each region, (region, unit, unit).
        between: Weights to each region from each other, zero from itself, (region, region, unit, unit).
        drive: Weights of the inputs, (input, state).
        sequence: The moving bump's components over time in units of its duration, (point, component).
    """

    def __init__(self, units: int, share: float, amplitude: float, noise: float, seed: int) -> None:
        super().__init__(
            dict.fromkeys("ABC", units), inputs=("sequence 1", "sequence 2", "sequence 3", "fixed point")
        )
        random = stream(seed, "three-region RNN/weights")
        gains = np.array(GAINS)[:, None, None]
        self.within = gains / np.sqrt(units) * random.standard_normal((3, units, units))
        signs = random.choice((-1.0, 1.0), (3, 3, units, units))
        self.between = amplitude * signs * (random.random(signs.shape) < share)
        self.between[np.arange(3), np.arange(3)] = 0.0
        self.sequence, patterns = _bump(units)
        self.drive = np.zeros((len(self.inputs), self.n_states))
        for drive, region, rows in zip(
            DRIVES, self.slices()[1:], (patterns, random.standard_normal((1, units))), strict=True
        ):
            reached = random.permutation(units) < round(EXTERNAL_SHARE * units)
            first = 0 if len(rows) == N_COMPONENTS else N_COMPONENTS
            self.drive[first : first + len(rows), region] = drive * rows * reached
        self._noise = noise * np.repeat(NOISE, units)

    def parts(self, x: Floats, u: Floats, mode: Integers) -> Parts:
        """As in the base class; there is one mode alone."""
        del mode
        messages = np.empty((*x.shape[:-1], 3, self.n_states))
        slices = self.slices()
        for j, source in enumerate(slices):
            r = np.ascontiguousarray(x[..., source])  # BLAS takes no strided stacks
            for i, target in enumerate(slices):
                told = np.tanh(r @ (self.within[i] if i == j else self.between[i, j]).T)
                messages[..., j, target] = STEP_OVER_TAU * (told - r if i == j else told)
        return Parts(messages, STEP_OVER_TAU * u[..., None] * self.drive)

    def noise(self, x: Floats, mode: Integers, normal: Floats) -> Floats:
        """Independent normal noise with a spread of each region."""
        del x, mode
        return self._noise * normal


def _bump(units: int) -> tuple[Floats, Floats]:
    """Leading components of a bump that moves once over the units: over time, and of each unit."""
    time, place = np.linspace(0.0, 1.0, 101)[:, None], np.linspace(0.0, 1.0, units)
    moving = np.exp(-(((time - place) / BUMP_STD) ** 2) / 2)
    left, scale, right = np.linalg.svd(moving, full_matrices=False)
    # Components of unit size over time; the rows of units carry the bump's own scale.
    size = np.sqrt(len(time))
    return size * left[:, :N_COMPONENTS], (scale[:N_COMPONENTS, None] / size) * right[:N_COMPONENTS]


@dataclass
class ThreeRegionRNNConfig(RegionalConfig):
    """Three random recurrent networks with sparse connections, two of them driven from outside.

    It departs from the published simulator in these points. Trials of 100 bins, one step each, start from
    states of their own after 200 bins without input, and the drivers begin at a time of their own, since
    copies of one trial teach a model nothing. Inputs act linearly and by their components, the bump being
    what three components make of it, so that each channel has a message of its own. Connections between
    regions are ten times as many, twice as strong and of either sign: with a hundredth of them at 0.04
    messages are a tenth of what a region does to itself and less than the noise; so they are half of it.
    States aren't scaled to a largest value of 1: the observation standardises what neurons see.

    Random messages to 100 units point mostly where the states hardly go. Regressions of the states'
    increments on all true states find messages of a cosine of 0.6 with the true ones, on ten principal
    components of each region 0.4 in their own space. With 10 units, 0.3 of the connections at 0.3 and triple
    noise (`preset=small_network`) they find 0.96, and on six components 0.9.

    Attributes:
        units: Of each region.
        share: Part of the connections between two regions that aren't zero.
        amplitude: Of these, whose signs are random.
    """

    label: ClassVar[str] = "three_region_rnn"

    units: int = 100
    share: float = 0.1
    amplitude: float = 0.08

    def check(self) -> None:
        """Refuse settings that make no sense."""
        super().check()
        if self.units < 1:
            raise ValueError(f"system.units must be at least 1, got {self.units}")
        if not 0.0 <= self.share <= 1.0 or not np.isfinite(self.amplitude):
            raise ValueError(
                f"system.share lies between 0 and 1 and system.amplitude is finite, "
                f"got {self.share} and {self.amplitude}"
            )

    def simulate(self, seed: int) -> tuple[ThreeRegionRNN, Trials]:
        """Draw the trials."""
        system = ThreeRegionRNN(self.units, self.share, self.amplitude, self.noise, seed)
        random = stream(seed, "three-region RNN")
        initial = random.standard_normal((self.trials, system.n_states))
        for _ in range(LEAD_BINS):
            x = system.step(initial, np.zeros((self.trials, len(system.inputs))), np.zeros(self.trials, int))
            initial = x + system.noise(x, np.zeros(0, int), random.standard_normal(x.shape))
        inputs = self._inputs(system, random)
        mode = np.zeros(inputs.shape[:2], np.int64)
        normal = random.standard_normal((*mode.shape, system.n_states))
        return system, rollout(system, initial, inputs, mode, normal)

    def _inputs(self, system: ThreeRegionRNN, random: np.random.Generator) -> Floats:
        """Drivers of all trials, (trial, time, input): a bump passes, then the pattern sets in and stays."""
        time = np.arange(self.bins) / self.bins
        begin, onset = random.uniform(0.0, 0.3, self.trials), random.uniform(0.4, 0.7, self.trials)
        phase = (time - begin[:, None]) / 0.6
        grid = np.linspace(0.0, 1.0, len(system.sequence))
        passing = [np.interp(phase, grid, column, left=0.0, right=0.0) for column in system.sequence.T]
        return np.stack([*passing, time >= onset[:, None]], axis=-1).astype(np.float64)
