"""What an analysis found: plain arrays and rows, all that a table, a figure or a report needs.

Axes: `trial time neuron state input point`; `component` counts principal components. Nothing here holds an
open file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

TRUTH = "truth"
"""The label under which the truth's state space, rates and points are kept."""

CEILINGS = ("ceiling: clean inputs", "ceiling: state-changing inputs")
"""Rows under these names are no model's: they score the true inputs as if a model had inferred them."""


@dataclass(frozen=True)
class Definition:
    """How one number is defined.

    Attributes:
        name: What the column `definition` says, such as `variance-weighted-1`: a formula and its version.
        metric: The metric that it defines.
        formula: The formula, in plain text.
        text: What the number means, what 1 and 0 are, and what it is blind to.
        source: Paper or system that it comes from; empty where it is ours.
        published: True for the forms that repeat a published number, defects included.
    """

    name: str
    metric: str
    formula: str
    text: str
    source: str = ""
    published: bool = False

    @property
    def key(self) -> str:
        """`metric/name`, the key in `AnalysisResult.definitions`."""
        return f"{self.metric}/{self.name}"


@dataclass(frozen=True)
class MetricRow:
    """One number of one model, a row of `metrics.csv` and of `/metrics`.

    Attributes:
        low: Lower end of the 95 % interval over trials; None where there is no interval.
        high: Upper end of it.
        seed: The model's seed, -1 where it has none.
        split: `train`, `valid` or `test`; `all` for numbers that no split belongs to (fixed points).
    """

    dataset: str
    model: str
    seed: int
    split: str
    metric: str
    definition: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class LeftOut:
    """A number that could not be had, and why: `the recording has no true states`."""

    model: str
    seed: int
    metric: str
    reason: str


@dataclass(frozen=True)
class SeedSummary:
    """Mean and spread of one metric over the seeds of one model.

    Attributes:
        n_seeds: How many seeds have the number.
        mean: Mean over seeds.
        sd: Standard deviation over seeds (n - 1); None for a single seed.
    """

    dataset: str
    model: str
    split: str
    metric: str
    definition: str
    n_seeds: int
    mean: float
    sd: float | None


@dataclass(frozen=True)
class Difference:
    """One number of a model less the same number of another, a row of `differences.csv` and `/differences`.

    Attributes:
        seed: The model's seed; -1 where it has none, and for the mean of several.
        reference: The model that is subtracted, the mean of its seeds.
        difference: The model's number less the reference's.
        low: Lower end of the interval over trials, which both models share; None where there is none.
        high: Upper end of it.
        n_seeds: Seeds of the model that went in.
    """

    dataset: str
    model: str
    seed: int
    reference: str
    split: str
    metric: str
    definition: str
    difference: float
    low: float | None
    high: float | None
    n_seeds: int = 1


@dataclass(frozen=True)
class ModelResult:
    """One inference file that was analysed.

    Attributes:
        label: Unique within the analysis, the key of all mappings: the model's name, with its seed where
            there are several.
        name: The model's name, the same for all its seeds.
        seed: Its seed, -1 where the file names none.
        file_name: Name of the file, without folders.
        file_id: Its `ctd_id`.
        dynamics_kind: Kind of `/dynamics` (`gru`, `affine`, ...), None without.
        state_size: Dimensions of its state, None without states.
    """

    label: str
    name: str
    seed: int
    file_name: str
    file_id: str
    dynamics_kind: str | None
    state_size: int | None


@dataclass(frozen=True)
class SourceFile:
    """A file that went into the analysis, for the report's provenance.

    Attributes:
        role: `truth`, `task` or a model's label.
        file_name: Name of the file, without folders.
        file_id: Its `ctd_id`.
        digest: Its digest, hexadecimal.
        producer: Package and version that wrote it.
        created: When, as the file says.
        seed: Seed that it was made with, None where it names none.
        config: Configuration that made it; empty where it names none.
    """

    role: str
    file_name: str
    file_id: str
    digest: str
    producer: str = ""
    created: str = ""
    seed: int | None = None
    config: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class ExampleTrials:
    """A few trials of the scored split to be drawn.

    Attributes:
        trial: Ids, (trial,).
        time_s: Start of each bin in s, (time,).
        lengths: Bins of each trial that are not padding, (trial,).
        neuron: Ids, (neuron,).
        held_out: True for neurons that encoders did not see, (neuron,).
        spikes: Counts, (trial, time, neuron).
        true_rates: Spikes/s, (trial, time, neuron); None without truth.
        rates: Label -> rates in spikes/s, (trial, time, neuron).
        inputs: What the network received, (trial, time, input); None without.
        input_names: Names of its channels.
        inferred_inputs: Label -> (trial, time, control), where a model infers inputs.
        forward: True for bins that were to be predicted, (time,).
    """

    trial: Integers
    time_s: Floats
    lengths: Integers
    neuron: Integers
    held_out: Flags
    spikes: Floats
    true_rates: Floats | None
    rates: Mapping[str, Floats]
    inputs: Floats | None
    input_names: tuple[str, ...]
    inferred_inputs: Mapping[str, Floats]
    forward: Flags


@dataclass(frozen=True)
class FixedPoints:
    """Points where the dynamics stand still or nearly so, under one constant input.

    Attributes:
        state: (point, state).
        input: (point, input), the constant input of each point; (point, 0) for autonomous dynamics.
        mode: (point,), the mode of switching dynamics; -1 without modes.
        speed: Norm of F(x, u) - x per bin, (point,).
        jacobian: dF/dx at the point, (point, state, state).
        eigenvalues: Of the Jacobian, complex, largest modulus first, (point, state): multipliers per bin.
        is_slow: True for slow points: local minima of the speed that are not fixed, (point,).
        bin_width_s: Duration of one step in s.
        source: Whose dynamics: `truth` or a model's label.
        n_starts: Starts of the search.
        n_converged: Starts that ended in a fixed point.
        n_outside: Points dropped because they lie far outside of the visited states.
    """

    state: Floats
    input: Floats
    mode: Integers
    speed: Floats
    jacobian: Floats
    eigenvalues: NDArray[np.complex128]
    is_slow: Flags
    bin_width_s: float
    source: str = TRUTH
    n_starts: int = 0
    n_converged: int = 0
    n_outside: int = 0

    def __len__(self) -> int:
        return len(self.state)

    @property
    def is_fixed(self) -> Flags:
        """True for fixed points, (point,)."""
        return ~self.is_slow

    @property
    def n_unstable(self) -> Integers:
        """Number of unstable dimensions, eigenvalues of modulus 1 or more, (point,)."""
        return np.sum(np.abs(self.eigenvalues) >= 1.0, axis=-1)

    @property
    def stable(self) -> Flags:
        """True for fixed points all of whose eigenvalues lie inside the unit circle, (point,)."""
        return self.is_fixed & (self.n_unstable == 0)

    @property
    def time_constants_s(self) -> Floats:
        """-bin / ln|eigenvalue| in s, (point, state): positive decays, negative grows, inf stays."""
        modulus = np.abs(self.eigenvalues)
        with np.errstate(divide="ignore"):
            rate = np.log(modulus)
            return np.where(rate == 0.0, np.inf, -self.bin_width_s / np.where(rate == 0.0, 1.0, rate))

    def take(self, rows: Flags | Integers) -> FixedPoints:
        """The points in `rows`, in that order."""
        return FixedPoints(
            self.state[rows],
            self.input[rows],
            self.mode[rows],
            self.speed[rows],
            self.jacobian[rows],
            self.eigenvalues[rows],
            self.is_slow[rows],
            self.bin_width_s,
            self.source,
            self.n_starts,
            self.n_converged,
            self.n_outside,
        )


@dataclass(frozen=True)
class StateSpace:
    """States of the example trials and fixed points of one source, in its own three PCs and in the truth's.

    Sources of fewer than three dimensions fill the missing components with zeros.

    Attributes:
        source: `truth` or a model's label.
        trajectories: Own PCs, (trial, time, component=3). Trials are those of `ExampleTrials`.
        explained: Fraction of the variance in each of the three components, (component=3,).
        lengths: Bins that are not padding, (trial,).
        points: Fixed and slow points; None where the dynamics have no portable form (see `left_out`).
        points_projected: The points in the own PCs, (point, component=3); None without points.
        trajectories_in_truth: Mapped into the truth's space by the affine map, in the truth's PCs,
            (trial, time, component=3). None without truth. For the truth itself it equals `trajectories`.
        points_in_truth: The points likewise, (point, component=3).
    """

    source: str
    trajectories: Floats
    explained: Floats
    lengths: Integers
    points: FixedPoints | None
    points_projected: Floats | None
    trajectories_in_truth: Floats | None
    points_in_truth: Floats | None


@dataclass(frozen=True)
class Matching:
    """Fixed points of a model paired one to one with those of the truth, after alignment.

    Attributes:
        label: The model's label.
        pairs: (pair, 2): index into the truth's points, index into the model's.
        distance: Distance of each pair in the truth's space relative to the spread of the true states (root
            mean squared distance from their mean), (pair,).
        multiplier_error: Root mean squared difference of the matched leading eigenvalues, per bin, (pair,).
        rate_error_per_s: The same of ln(eigenvalue) / bin width, in 1/s, (pair,).
        n_leading: How many leading eigenvalues were compared.
        missed: Indices of true fixed points without a partner.
        spurious: Indices of the model's fixed points without a partner.
        cutoff: Relative distance above which two points are no pair.
    """

    label: str
    pairs: Integers
    distance: Floats
    multiplier_error: Floats
    rate_error_per_s: Floats
    n_leading: int
    missed: Integers
    spurious: Integers
    cutoff: float


@dataclass(frozen=True)
class AnalysisResult:
    """Everything that one analysis found.

    Attributes:
        dataset: The recording's name.
        dataset_id: Its `ctd_id`.
        split: The split that was scored.
        bin_width_s: Width of a bin in s.
        n_trials: Scored trials.
        interval: Coverage of the intervals, such as .95.
        models: One entry per inference file.
        metrics: All rows.
        left_out: What could not be computed, with reasons.
        definitions: `metric/definition` -> its definition, for every row in `metrics`.
        seeds: Mean and spread over seeds, one row per model, metric and definition.
        examples: Trials to be drawn.
        spaces: `truth` (where known) and every model with states -> its state space.
        matches: Label -> matching of its fixed points; only where truth and model have some.
        software: Package -> version, for the foot of the report.
        files: The files that went into it.
        command: The command line that repeats it; empty when it was called as a library.
        config: The analysis' own configuration.
        differences: Of each model from the one that the analysis compares with; empty without.
    """

    dataset: str
    dataset_id: str
    split: str
    bin_width_s: float
    n_trials: int
    interval: float
    models: tuple[ModelResult, ...]
    metrics: tuple[MetricRow, ...]
    left_out: tuple[LeftOut, ...]
    definitions: Mapping[str, Definition]
    seeds: tuple[SeedSummary, ...]
    examples: ExampleTrials
    spaces: Mapping[str, StateSpace]
    matches: Mapping[str, Matching]
    software: Mapping[str, str] = field(default_factory=dict)
    files: tuple[SourceFile, ...] = ()
    command: str = ""
    config: Mapping[str, object] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()

    def row(self, label: str, metric: str, definition: str | None = None) -> MetricRow | None:
        """The row of one model and metric in the scored split or `all`; the first definition unless named."""
        model = next(model for model in self.models if model.label == label)
        for row in self.metrics:
            same = (row.model, row.seed, row.metric) == (model.name, model.seed, metric)
            if same and row.split in (self.split, "all") and definition in (None, row.definition):
                return row
        return None
