"""Settings of the tasks, without JAX; fields, names and defaults are those of ctd-tasks."""

from __future__ import annotations

from dataclasses import dataclass

from ctd_models_jax.checks import require_choice, require_not_negative, require_positive

BIASES = ("uniform", "normal")
# A switch of the context leaves at least two bins on either side of itself.
SWITCH_MARGIN = 2


@dataclass
class TaskConfig:
    """What every task says of itself.

    Attributes:
        n_time: Bins of a trial.
        bin_width_s: Width of a bin.
        noise_std: Standard deviation of the white noise on the inputs (see the task).
    """

    n_time: int = 25
    bin_width_s: float = 0.01
    noise_std: float = 0.0

    def __post_init__(self) -> None:
        require_positive(self, "n_time", "bin_width_s")
        require_not_negative(self, "noise_std")

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the input channels."""
        raise NotImplementedError(f"{type(self).__name__} names no inputs")

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the target channels."""
        raise NotImplementedError(f"{type(self).__name__} names no targets")

    @property
    def first_scored(self) -> int:
        """The first bin whose output counts."""
        return 0

    @property
    def context_inputs(self) -> tuple[bool, ...]:
        """Which inputs set the dynamics' regime: linearisations keep them where they are."""
        return (False,) * len(self.input_names)

    @property
    def discrete_memories(self) -> bool:
        """Whether what is to be kept is one of a few things, for each of which a fixed point can stand."""
        return False

    @property
    def noise_is_evidence(self) -> bool:
        """Whether targets follow from the inputs with their noise."""
        return False


@dataclass
class BitMemoryConfig(TaskConfig):
    """N bits of -1 or 1, each the sign of its last pulse and -1 before the first (Smith et al. 2021).

    A bit has two input lines: a pulse of -1 is a one on its first, a pulse of 1 a one on its second.

    Attributes:
        n_bits: Number of bits.
        pulse_probability: Probability of a pulse, per bin and bit; either sign is as likely.
        ignored_bins: First bins that don't count.
    """

    n_bits: int = 3
    pulse_probability: float = 2 / 3
    ignored_bins: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "n_bits")
        if not 0 <= self.pulse_probability <= 1:
            raise ValueError(f"pulse_probability must lie in [0, 1], got {self.pulse_probability}")
        if not 0 <= self.ignored_bins < self.n_time:
            raise ValueError(f"ignored_bins must leave one of {self.n_time} bins, got {self.ignored_bins}")

    @property
    def input_names(self) -> tuple[str, ...]:
        """Two lines per bit, the one for pulses of -1 first."""
        return tuple(f"bit {bit} {way}" for bit in range(self.n_bits) for way in ("down", "up"))

    @property
    def target_names(self) -> tuple[str, ...]:
        """One channel per bit."""
        return tuple(f"bit {bit}" for bit in range(self.n_bits))

    @property
    def first_scored(self) -> int:
        """The bins before are ignored."""
        return self.ignored_bins

    @property
    def discrete_memories(self) -> bool:
        """The bits."""
        return True


@dataclass
class ContextIntegrationConfig(TaskConfig):
    """The running sum of one of two noisy streams, motion and colour (Mante et al. 2013; Smith et al. 2021).

    Inputs are the two streams, each its bias plus white noise, and two context lines, of which the one of
    the cued stream is 1. The target is the sum over bins (not times their width) of what was cued in each.

    Attributes:
        noise_std: Of the streams, per square root of a second: a bin has noise_std / sqrt(bin_width_s).
        biases: Distribution of a stream's bias, drawn per trial: ``uniform`` in ±bias_scale, or ``normal``
            with mean -bias_scale and twice that as standard deviation, as published.
        bias_scale: See `biases`.
        switch_probability: Share of trials in which the context changes, at a bin drawn uniformly from 2 to
            n_time - 2; the sum goes on with the other stream.
    """

    bin_width_s: float = 0.04
    noise_std: float = 0.025
    biases: str = "uniform"
    bias_scale: float = 0.01
    switch_probability: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(self, "biases", BIASES)
        if not 0 <= self.switch_probability <= 1:
            raise ValueError(f"switch_probability must lie in [0, 1], got {self.switch_probability}")
        if self.switch_probability and self.n_time < 2 * SWITCH_MARGIN:
            raise ValueError(f"n_time must be at least {2 * SWITCH_MARGIN} with switches, got {self.n_time}")

    @property
    def input_names(self) -> tuple[str, ...]:
        """The two streams, then their context lines."""
        return ("motion", "color", "attend motion", "attend color")

    @property
    def target_names(self) -> tuple[str, ...]:
        """One channel."""
        return ("integral",)

    @property
    def context_inputs(self) -> tuple[bool, ...]:
        """The context lines."""
        return (False, False, True, True)

    @property
    def noise_is_evidence(self) -> bool:
        """The sum is that of the noisy streams."""
        return True


@dataclass
class SineGenerationConfig(TaskConfig):
    """A sine wave whose frequency in Hz is the input, held over the trial (Sussillo & Barak 2013).

    The target in the bin that starts at t is sin(2π f t): every trial begins at phase zero.

    Attributes:
        lowest_hz: The lowest frequency.
        highest_hz: The highest one.
        n_frequencies: Frequencies at equal distances; null for any between the bounds.
    """

    n_time: int = 100
    lowest_hz: float = 1.0
    highest_hz: float = 4.0
    n_frequencies: int | None = 51

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "lowest_hz", *(["n_frequencies"] if self.n_frequencies is not None else []))
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
    def context_inputs(self) -> tuple[bool, ...]:
        """The frequency, which sets the oscillation."""
        return (True,)


TASKS: dict[str, type] = {
    "bit_memory": BitMemoryConfig,
    "context_integration": ContextIntegrationConfig,
    "sine_generation": SineGenerationConfig,
}
