"""What the systems of several regions share: a map split into messages, trials of it, and their source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ctd_sim.sources.base import Source
from ctd_sim.sources.splits import redraw_splits

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# A task without physical time has bins of 0.01 s by the contract's convention.
BIN_WIDTH_S = 0.01


@dataclass(frozen=True)
class Parts:
    """What moves the states in one bin; both together are the whole increment.

    Attributes:
        messages: From each region to each state, the region's own local part included,
            (..., region, state).
        input_messages: From each input channel, (..., input, state).
    """

    messages: Floats
    input_messages: Floats

    @property
    def increment(self) -> Floats:
        """Their sum, (..., state)."""
        return self.messages.sum(axis=-2) + self.input_messages.sum(axis=-2)


class RegionalSystem(ABC):
    """A map of states of several regions, x[k] = x[k-1] + parts(x[k-1], u[k], mode[k]) + noise.

    Args:
        regions: Name of each region to its state dimensions, in the order of the states.
        inputs: Names of the input channels.
        modes: Names of the modes; () where there is one alone.

    Attributes:
        additive: Whether what one region tells another depends on the sender alone.
    """

    additive: bool = True

    def __init__(
        self, regions: Mapping[str, int], inputs: tuple[str, ...], modes: tuple[str, ...] = ()
    ) -> None:
        self.regions, self.inputs, self.modes = regions, inputs, modes

    @abstractmethod
    def parts(self, x: Floats, u: Floats, mode: Integers) -> Parts:
        """The increment by where it comes from.

        Args:
            x: State before the bin, (..., state).
            u: Input of the bin, (..., input).
            mode: Mode of the bin, (...,).
        """

    @abstractmethod
    def noise(self, x: Floats, mode: Integers, normal: Floats) -> Floats:
        """Process noise that is added to a new state x, (..., state), of standard normal numbers like it."""

    def step(self, x: Floats, u: Floats, mode: Integers) -> Floats:
        """The next state without noise, (..., state)."""
        return x + self.parts(x, u, mode).increment

    @property
    def n_states(self) -> int:
        """State dimensions of all regions."""
        return sum(self.regions.values())

    @property
    def state_regions(self) -> NDArray[np.int32]:
        """Region of each state, (state,)."""
        return np.repeat(np.arange(len(self.regions)), list(self.regions.values())).astype(np.int32)

    def slices(self) -> list[slice]:
        """The states of each region."""
        stops = np.cumsum(list(self.regions.values())).tolist()
        return [slice(stop - size, stop) for size, stop in zip(self.regions.values(), stops, strict=True)]


def messages_from(system: RegionalSystem, x: Floats, u: Floats, mode: Integers, reference: Floats) -> Floats:
    """Messages counted from a state at which no region says anything, (..., region, state).

    What region j tells region i is the change that x_j makes in i's next state against the reference in its
    place; the rest of the increment that no input makes is i's own. No other split follows from the map: a
    constant, or with products a function of x_i, could be on either side.

    Args:
        system: The map.
        x: State before the bin, (..., state).
        u: Input of the bin, (..., input).
        mode: Mode of the bin, (...,).
        reference: (state,).
    """
    parts, own = system.parts(x, u, mode), system.state_regions
    told = np.arange(len(system.regions))[:, None] != own
    if system.additive:
        modes = np.arange(max(1, len(system.modes)))
        still = np.broadcast_to(reference, (len(modes), len(reference)))
        silent = system.parts(still, np.zeros((len(modes), u.shape[-1])), modes).messages[mode]
        messages = np.where(told, parts.messages - silent, 0.0)
    else:
        messages = np.zeros(parts.messages.shape)
        for region in range(len(system.regions)):
            without = np.where(own == region, reference, x)
            change = (x - without) + (parts.increment - system.parts(without, u, mode).increment)
            messages[..., region, :] = np.where(told[region], change, 0.0)
    local = parts.messages.sum(axis=-2) - messages.sum(axis=-2)
    messages[..., own, np.arange(len(own))] = local
    return messages


@dataclass(frozen=True)
class Trials:
    """Trials of a system.

    Attributes:
        states: Row k is the state after input k, (trial, time, state).
        initial_state: The state before bin 0, (trial, state).
        inputs: (trial, time, input).
        mode: (trial, time).
    """

    states: Floats
    initial_state: Floats
    inputs: Floats
    mode: Integers

    def before(self) -> Floats:
        """The state before each bin, (trial, time, state)."""
        return np.concatenate([self.initial_state[:, None], self.states[:, :-1]], axis=1)


def rollout(
    system: RegionalSystem,
    initial_state: Floats,
    inputs: Floats,
    mode: Integers,
    normal: Floats | None,
    *,
    before_bin: Callable[[int, Floats], None] | None = None,
) -> Trials:
    """All trials at once, bin by bin.

    Args:
        system: The map.
        initial_state: (trial, state).
        inputs: (trial, time, input).
        mode: (trial, time).
        normal: Standard normal numbers (trial, time, state) for the noise; None for none.
        before_bin: Called with each bin and the state before it; may still write into `inputs` and `mode`
            from that bin on, where they depend on the states.
    """
    states = np.empty((*mode.shape, system.n_states))
    x = initial_state
    for k in range(mode.shape[1]):
        if before_bin is not None:
            before_bin(k, x)
        x = system.step(x, inputs[:, k], mode[:, k])
        if normal is not None:
            x = x + system.noise(x, mode[:, k], normal[:, k])
        states[:, k] = x
    return Trials(states, initial_state, inputs, mode)


class SystemConfig:
    """Settings of where states come from."""


@dataclass
class TaskConfig(SystemConfig):
    """States of a task file: the one that `source` names."""


@dataclass
class RegionalConfig(SystemConfig, ABC):
    """Settings that all systems of several regions have.

    Attributes:
        trials: How many.
        bins: Of each trial.
        noise: Factor of the process noise; 0 for none.
        message_reference: Where messages are counted from: "mean", of all states, or "equations", which
            leaves every term with the region whose state it names.
    """

    label: ClassVar[str]

    trials: int = 300
    bins: int = 100
    noise: float = 1.0
    message_reference: str = "mean"

    def check(self) -> None:
        """Refuse sizes that make no sense.

        Raises:
            ValueError: Names the setting and what it is.
        """
        if self.trials < 1 or self.bins < 1:
            raise ValueError(
                f"system.trials and system.bins must be at least 1, got {self.trials} and {self.bins}"
            )
        if not (np.isfinite(self.noise) and self.noise >= 0):
            raise ValueError(f"system.noise must be zero or above, got {self.noise}")
        if self.message_reference not in ("mean", "equations"):
            raise ValueError(
                f"system.message_reference must be mean or equations, got {self.message_reference!r}"
            )

    @abstractmethod
    def simulate(self, seed: int) -> tuple[RegionalSystem, Trials]:
        """The system and its trials."""

    def source(self, seed: int) -> Source:
        """The trials as a source, split at random into train, valid and test (70, 10 and 20 %)."""
        self.check()
        system, trials = self.simulate(seed)
        reference = trials.states.mean(axis=(0, 1)) if self.message_reference == "mean" else None
        return regional_source(self.label, system, trials, reference, seed=seed)


def regional_source(
    name: str, system: RegionalSystem, trials: Trials, reference: Floats | None, *, seed: int
) -> Source:
    """Trials of a system as a source with modes and messages, which are made as they are read.

    Args:
        name: Of the data set.
        system: What made them.
        trials: The trials.
        reference: As in `messages_from`; None for the messages of the equations.
        seed: Of the splits.
    """
    n_trials, n_bins, n_states = trials.states.shape
    before = trials.before()
    stored: dict[str, NDArray] = {
        name: getattr(trials, name).astype(np.float32) for name in ("states", "initial_state", "inputs")
    }

    def read(key: str, rows: slice) -> NDArray:
        if key in stored:
            return stored[key][rows]
        bins = before[rows], trials.inputs[rows], trials.mode[rows]
        if key == "messages" and reference is not None:
            return messages_from(system, *bins, reference).astype(np.float32)
        return getattr(system.parts(*bins), key).astype(np.float32)

    axes = {"state": n_states, "region": len(system.regions), "input": len(system.inputs)}
    tables = {
        "states": {"region": system.state_regions},
        "regions": {"name": np.array(list(system.regions))},
        "inputs": {"name": np.array(system.inputs)},
    }
    if system.modes:
        stored["mode"] = trials.mode.astype(np.int32)
        axes["mode"], tables["modes"] = len(system.modes), {"name": np.array(system.modes)}
    source = Source(
        name=name,
        trial=np.arange(n_trials, dtype=np.int64),
        time=np.arange(n_bins) * BIN_WIDTH_S,
        bin_width_s=BIN_WIDTH_S,
        split=np.zeros(n_trials, np.uint8),
        lengths=np.full(n_trials, n_bins, np.int32),
        n_states=n_states,
        read=read,
        signals=(*stored, "messages", "input_messages"),
        units={"inputs": "1"},
        axes={axis: np.arange(size, dtype=np.int64) for axis, size in axes.items()},
        columns=tables,
        state_regions=system.state_regions,
    )
    return redraw_splits(source, seed=seed)
