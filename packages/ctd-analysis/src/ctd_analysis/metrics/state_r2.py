"""How well true and inferred states are affine images of one another, in both directions."""

from __future__ import annotations

from ctd_analysis.affine_map import Moments
from ctd_analysis.bootstrap import Bootstrap, Estimate, Undefined
from ctd_analysis.metrics.base import Block, Estimates, block_of, score_arrays
from ctd_analysis.metrics.mapped_r2 import MappedR2, affine_definition, in_sample_r2
from ctd_analysis.results import Definition, Flags, Floats

TRUE_TO_INFERRED = affine_definition(
    "state_r2_true_to_inferred",
    "true states",
    "inferred states",
    "Part of the inferred states' variance that the true states explain. Low when the model invents "
    "dimensions that the truth doesn't have; blind to true dimensions that the model misses.",
)
INFERRED_TO_TRUE = affine_definition(
    "state_r2_inferred_to_true",
    "inferred states",
    "true states",
    "Part of the true states' variance that the inferred states explain. Low when the model misses true "
    "dimensions; blind to dimensions that it invents.",
)
HIDDEN_R2 = Definition(
    name="published-expressive-1",
    metric="state_r2_true_to_inferred",
    formula="max(-10, mean_d [1 - min_(A,c) sum_b (y_b - A x_b - c)_d^2 / sum_b (y_bd - mean_b y_bd)^2]); "
    "x = true states, y = inferred states",
    text="The published hidden R²: the map is fitted on the scored trials themselves and all inferred "
    "dimensions weigh the same, however small. Constant dimensions are left out (the published form divides "
    "by zero there).",
    source="Sedler, Versteeg and Pandarinath, Expressive architectures enhance interpretability, 2023",
    published=True,
)
_FLOOR = -10.0


class StateR2TrueToInferred(MappedR2):
    """R² of the inferred states given the true ones."""

    name = "state_r2_true_to_inferred"
    requires = ("true_states", "states")
    definitions = (TRUE_TO_INFERRED, HIDDEN_R2)

    def __init__(self) -> None:
        super().__init__()
        self._scored: Moments | None = None

    def score(self, block: Block) -> None:
        """Gathers the sums of trials of the scored split."""
        super().score(block)
        source, target = (block.rows(name) for name in self.requires)
        if self._scored is None:
            self._scored = Moments(source.shape[1], target.shape[1])
        self._scored.update(source, target)

    def estimates(self, bootstrap: Bootstrap) -> Estimates:
        """Ours with an interval, the published form without."""
        value = float("nan")
        if self._scored is not None and self._scored.count:
            value = in_sample_r2(self._scored, _FLOOR)
        published = Estimate(value) if value == value else Undefined("the inferred states don't vary")
        return [*super().estimates(bootstrap), (HIDDEN_R2, published)]


class StateR2InferredToTrue(MappedR2):
    """R² of the true states given the inferred ones."""

    name = "state_r2_inferred_to_true"
    requires = ("states", "true_states")
    definitions = (INFERRED_TO_TRUE,)


def state_r2(
    true_states: Floats,
    states: Floats,
    train_true_states: Floats,
    train_states: Floats,
    *,
    valid: Flags | None = None,
    train_valid: Flags | None = None,
    bootstrap: Bootstrap | None = None,
) -> Estimates:
    """R² of states in both directions.

    Args:
        true_states: Of the scored trials, (trial, time, true state).
        states: The model's, (trial, time, inferred state).
        train_true_states: Of the trials to which the maps are fitted.
        train_states: The model's.
        valid: Bins of the scored trials that are not padding, (trial, time).
        train_valid: Likewise of the training trials.
        bootstrap: Settings of the interval.

    Returns:
        Pairs of definition and estimate.
    """
    scored = block_of(valid=valid, true_states=true_states, states=states)
    train = block_of(valid=train_valid, true_states=train_true_states, states=train_states)
    metrics = (StateR2TrueToInferred(), StateR2InferredToTrue())
    return [pair for metric in metrics for pair in score_arrays(metric, scored, train, bootstrap)]
