"""How well true and inferred inputs are affine images of one another, in both directions."""

from __future__ import annotations

from ctd_analysis.bootstrap import Bootstrap
from ctd_analysis.metrics.base import Estimates, block_of, score_arrays
from ctd_analysis.metrics.mapped_r2 import MappedR2, affine_definition
from ctd_analysis.results import Flags, Floats

TRUE_TO_INFERRED = affine_definition(
    "input_r2_true_to_inferred",
    "true inputs",
    "inferred inputs",
    "Part of the inferred inputs' variance that the true inputs of the same bin explain. Low when the model "
    "infers inputs where there are none.",
)
INFERRED_TO_TRUE = affine_definition(
    "input_r2_inferred_to_true",
    "inferred inputs",
    "true inputs",
    "Part of the true inputs' variance that the inferred inputs of the same bin explain. Low when "
    "the model misses inputs.",
)


class InputR2TrueToInferred(MappedR2):
    """R² of the inferred inputs given the true ones."""

    name = "input_r2_true_to_inferred"
    requires = ("true_inputs", "inferred_inputs")
    definitions = (TRUE_TO_INFERRED,)


class InputR2InferredToTrue(MappedR2):
    """R² of the true inputs given the inferred ones."""

    name = "input_r2_inferred_to_true"
    requires = ("inferred_inputs", "true_inputs")
    definitions = (INFERRED_TO_TRUE,)


def input_r2(
    true_inputs: Floats,
    inferred_inputs: Floats,
    train_true_inputs: Floats,
    train_inferred_inputs: Floats,
    *,
    valid: Flags | None = None,
    train_valid: Flags | None = None,
    bootstrap: Bootstrap | None = None,
) -> Estimates:
    """R² of inputs in both directions.

    Args:
        true_inputs: Of the scored trials, (trial, time, input).
        inferred_inputs: The model's, (trial, time, control).
        train_true_inputs: Of the trials to which the maps are fitted.
        train_inferred_inputs: The model's.
        valid: Bins of the scored trials that are not padding, (trial, time).
        train_valid: Likewise of the training trials.
        bootstrap: Settings of the interval.

    Returns:
        Pairs of definition and estimate.
    """
    scored = block_of(valid=valid, true_inputs=true_inputs, inferred_inputs=inferred_inputs)
    train = block_of(valid=train_valid, true_inputs=train_true_inputs, inferred_inputs=train_inferred_inputs)
    metrics = (InputR2TrueToInferred(), InputR2InferredToTrue())
    return [pair for metric in metrics for pair in score_arrays(metric, scored, train, bootstrap)]
