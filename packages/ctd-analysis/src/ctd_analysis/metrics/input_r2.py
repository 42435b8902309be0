"""How well true and inferred inputs are affine images of one another, in both directions.

Three things are called true inputs: what the task presents (clean), what drove the network (with noise), and
the part of the first that changes what the task asks for. A model can infer no more than leaves a trace in
the states, so that the last is what perfect inference finds.
"""

from __future__ import annotations

from ctd_analysis.bootstrap import Bootstrap
from ctd_analysis.metrics.base import Block, Estimates, block_of, score_arrays
from ctd_analysis.metrics.mapped_r2 import MappedR2, affine_definition
from ctd_analysis.results import Definition, Flags, Floats

FORMS = {
    "clean": "inputs before noise",
    "driving": "inputs that drove the network, noise included",
    "changing": "inputs before noise of the bins in which the target of their channel differs from the bin "
    "before (before the first bin targets are 0), 0 elsewhere",
}
"""Which inputs -> in words. The signals are called `<form>_inputs`."""


def _true_to_inferred(form: str) -> Definition:
    text = (
        "Part of the inferred inputs' variance that the true inputs of the same bin explain. Low when the "
        "model infers inputs where there are none."
    )
    sides = (FORMS[form], "inferred inputs")
    return affine_definition("input_r2_true_to_inferred", *sides, text, name=f"{form}-affine-train-1")


def _inferred_to_true(form: str) -> Definition:
    text = (
        "Part of the true inputs' variance that the inferred inputs of the same bin explain. Low when the "
        "model misses inputs."
    )
    sides = ("inferred inputs", FORMS[form])
    return affine_definition("input_r2_inferred_to_true", *sides, text, name=f"{form}-affine-train-1")


class CleanInputR2TrueToInferred(MappedR2):
    """R² of the inferred inputs given those before noise."""

    name = "input_r2_true_to_inferred"
    requires = ("clean_inputs", "inferred_inputs")
    definitions = (_true_to_inferred("clean"),)


class DrivingInputR2TrueToInferred(MappedR2):
    """R² of the inferred inputs given those that drove the network."""

    name = "input_r2_true_to_inferred"
    requires = ("driving_inputs", "inferred_inputs")
    definitions = (_true_to_inferred("driving"),)


class ChangingInputR2TrueToInferred(MappedR2):
    """R² of the inferred inputs given those that change the targets."""

    name = "input_r2_true_to_inferred"
    requires = ("changing_inputs", "inferred_inputs")
    definitions = (_true_to_inferred("changing"),)


class CleanInputR2InferredToTrue(MappedR2):
    """R² of the inputs before noise given the inferred ones."""

    name = "input_r2_inferred_to_true"
    requires = ("inferred_inputs", "clean_inputs")
    definitions = (_inferred_to_true("clean"),)


class DrivingInputR2InferredToTrue(MappedR2):
    """R² of the inputs that drove the network given the inferred ones."""

    name = "input_r2_inferred_to_true"
    requires = ("inferred_inputs", "driving_inputs")
    definitions = (_inferred_to_true("driving"),)


class ChangingInputR2InferredToTrue(MappedR2):
    """R² of the inputs that change the targets given the inferred ones."""

    name = "input_r2_inferred_to_true"
    requires = ("inferred_inputs", "changing_inputs")
    definitions = (_inferred_to_true("changing"),)


INPUT_METRICS: tuple[type[MappedR2], ...] = (
    CleanInputR2TrueToInferred,
    DrivingInputR2TrueToInferred,
    ChangingInputR2TrueToInferred,
    CleanInputR2InferredToTrue,
    DrivingInputR2InferredToTrue,
    ChangingInputR2InferredToTrue,
)


def input_r2(
    true_inputs: Floats,
    inferred_inputs: Floats,
    train_true_inputs: Floats,
    train_inferred_inputs: Floats,
    *,
    form: str = "clean",
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
        form: Which the true inputs are, one of `FORMS`: names the definition.
        valid: Bins of the scored trials that are not padding, (trial, time).
        train_valid: Likewise of the training trials.
        bootstrap: Settings of the interval.

    Returns:
        Pairs of definition and estimate.
    """
    if form not in FORMS:
        raise ValueError(f"form is {form!r}, expected one of {', '.join(FORMS)}")
    scored = _block(true_inputs, inferred_inputs, valid)
    train = _block(train_true_inputs, train_inferred_inputs, train_valid)
    chosen = [metric() for metric in INPUT_METRICS if f"{form}_inputs" in metric.requires]
    return [pair for metric in chosen for pair in score_arrays(metric, scored, train, bootstrap)]


def _block(true: Floats, inferred: Floats, valid: Flags | None) -> Block:
    return block_of(
        valid=valid, clean_inputs=true, driving_inputs=true, changing_inputs=true, inferred_inputs=inferred
    )
