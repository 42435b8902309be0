"""Prey and predators, two regions of one latent each, whose cycle turns round at switches.

Mode by mode dx = a x - b x y, dy = d x y - c y; the second mode has other rates and runs backwards in time.

Source: the Lotka-Volterra simulator of MR-SDS (O. Karniol-Tambour and others, ICLR 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ctd_sim.random_streams import stream
from ctd_sim.systems.base import Floats, Integers, Parts, RegionalConfig, RegionalSystem, Trials, rollout

# Rates a, b, c, d of each mode, and the direction of time.
RATES = np.array([[2 / 3, 4 / 3, 1.0, 1.0], [0.9, 1.1, 0.8, 1.2]])
DIRECTION = np.array([1.0, -1.0])
BIN = 0.5
SUBSTEPS = 10
FIRST_SWITCH = 10
LAST_SWITCH = 10  # bins before the end
MOST_SWITCHES = 3


def conserved(x: Floats, mode: Integers) -> Floats:
    """D x - c log x + b y - a log y, which the flow of its mode keeps, (...,); x is (..., state)."""
    a, b, c, d = np.moveaxis(RATES[mode], -1, 0)
    prey, predator = x[..., 0], x[..., 1]
    return d * prey - c * np.log(prey) + b * predator - a * np.log(predator)


def flow(x: Floats, mode: Integers) -> Floats:
    """Velocities by source, (..., region, state): a x, -b x y, d x y, -c y in their direction of time."""
    a, b, c, d = np.moveaxis(RATES[mode], -1, 0)
    prey, predator = x[..., 0], x[..., 1]
    by_source = np.empty((*x.shape[:-1], 2, 2))
    by_source[..., 0, 0] = a * prey
    by_source[..., 1, 0] = -b * prey * predator
    by_source[..., 1, 1] = -c * predator
    by_source[..., 0, 1] = d * prey * predator
    return by_source * DIRECTION[mode][..., None, None]


class LotkaVolterra(RegionalSystem):
    """One bin of the flow by Runge-Kutta steps of the fourth order.

    A bin's messages are those of its steps' stages, weighted as the method weighs them: they add up to the
    increment.

    Args:
        noise: Spread of the logarithmic noise of a bin.
    """

    additive = False

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__({"prey": 1, "predator": 1}, inputs=("switch",), modes=("forwards", "backwards"))
        self._noise = noise

    def parts(self, x: Floats, u: Floats, mode: Integers) -> Parts:
        """As in the base class; u, the cue of a switch, moves no state."""
        step = BIN / SUBSTEPS
        messages = np.zeros((*x.shape[:-1], 2, 2))
        for _ in range(SUBSTEPS):
            total, point = np.zeros_like(messages), x
            for weight, reach in ((1, 0.5), (2, 0.5), (2, 1.0), (1, 0.0)):
                by_source = flow(point, mode)
                total += weight * by_source
                point = x + reach * step * by_source.sum(axis=-2)
            messages += step / 6 * total
            x = x + step / 6 * total.sum(axis=-2)
        return Parts(messages, np.zeros((*x.shape[:-1], u.shape[-1], 2)))

    def noise(self, x: Floats, mode: Integers, normal: Floats) -> Floats:
        """A random factor near 1, so that numbers of animals stay above zero."""
        del mode
        return x * np.expm1(self._noise * normal)


@dataclass
class LotkaVolterraConfig(RegionalConfig):
    """Lotka-Volterra: prey and predators whose cycle turns round at switches.

    Messages are the product couplings -b x y and d x y, counted from the mean of the region that sends them:
    the change that predators make in the prey's bin by being more or fewer than on average. The rest of the
    product is a function of the prey alone, and local. Any share of it could be on either side, so that a
    product without a reference has no message of its own; with `message_reference=equations` its whole counts
    as the sender's.

    It departs from the published simulator in these points. The flow is integrated by a method of the fourth
    order, since Euler's steps spiral outwards and don't keep what the flow keeps. Noise moves the states
    instead of what is observed of them, and it is a factor, which keeps them above zero. Offsets are fixed
    for each neuron, as all of the observation is. The region of the prey comes first, as its state does.
    """

    label: ClassVar[str] = "lotka_volterra"

    trials: int = 500
    bins: int = 150

    def check(self) -> None:
        """Refuse settings that make no sense."""
        super().check()
        if self.bins < FIRST_SWITCH + LAST_SWITCH + MOST_SWITCHES:
            raise ValueError(
                f"system.bins must be at least {FIRST_SWITCH + LAST_SWITCH + MOST_SWITCHES} to have room for "
                f"{MOST_SWITCHES} switches, got {self.bins}"
            )

    def simulate(self, seed: int) -> tuple[LotkaVolterra, Trials]:
        """Draw the trials: 1 to 3 switches each, with a cue in the bin before."""
        random = stream(seed, "lotka-volterra")
        inputs, mode = switches(self.trials, self.bins, random)
        initial = 1.0 + 0.2 * random.random((self.trials, 2))
        normal = random.standard_normal((self.trials, self.bins, 2))
        system = LotkaVolterra(1e-3 * self.noise)
        return system, rollout(system, initial, inputs, mode, normal)


def switches(trials: int, bins: int, random: np.random.Generator) -> tuple[Floats, Integers]:
    """Cues (trial, time, input) and modes (trial, time) of trials that begin forwards.

    Each has 1 to 3 switches, equally likely, at different bins drawn from those at least 10 from either end.
    """
    candidates = np.arange(FIRST_SWITCH, bins - LAST_SWITCH)
    order = random.permuted(np.tile(candidates, (trials, 1)), axis=1)[:, :MOST_SWITCHES]
    taken = np.arange(MOST_SWITCHES) < random.integers(1, MOST_SWITCHES + 1, trials)[:, None]
    at = np.zeros((trials, bins), bool)
    row, column = np.nonzero(taken)
    at[row, order[row, column]] = True
    cues = np.roll(at, -1, axis=1)  # no switch is in the first bin
    return cues[..., None].astype(np.float64), np.cumsum(at, axis=1) % 2
