"""All metrics of one model: read in blocks, fitted on training trials, scored on the chosen split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctd_analysis.bootstrap import Bootstrap, Undefined
from ctd_analysis.differences import Resampled
from ctd_analysis.metrics import METRICS, Metric
from ctd_analysis.results import Definition, Integers, LeftOut, MetricRow, ModelResult
from ctd_analysis.sources import Inference, Recording, blocks

_REASONS = {
    "spikes": "the recording has no spikes",
    "behavior": "the recording has no behaviour",
    "true_rates": "the recording has no true rates",
    "true_states": "the recording has no true states",
    "true_inputs": "the recording has no true inputs",
    "true_communication": "the recording has no true messages between regions",
    "communication": "the model has no messages between regions",
    "rates": "the model gives no rates",
    "states": "the model gives no states",
    "inferred_inputs": "the model infers no inputs",
}


@dataclass(frozen=True)
class Scores:
    """What scoring one model gave.

    Attributes:
        rows: The numbers.
        left_out: The metrics without one.
        definitions: Of the rows.
        resampled: The rows that can be compared between models, with their resamples.
    """

    rows: tuple[MetricRow, ...]
    left_out: tuple[LeftOut, ...]
    definitions: tuple[Definition, ...]
    resampled: tuple[Resampled, ...] = ()


def score_model(
    recording: Recording, inference: Inference, model: ModelResult, *, split: str, bootstrap: Bootstrap
) -> Scores:
    """Scores one model.

    Args:
        recording: The recording.
        inference: The model's inference of it.
        model: Its name and seed for the rows.
        split: The split that is scored.
        bootstrap: Settings of the intervals.

    Raises:
        ValueError: The model lacks trials of the scored split, or its rates are no rates.
    """
    scored = scored_trials(recording, inference, split)
    train = np.flatnonzero(recording.file.split("train") & inference.has)
    signals = recording.signals | {k: v for k, v in inference.signals.items() if k != "inputs"}
    left_out: list[LeftOut] = []
    metrics: list[Metric] = []
    for kind in METRICS:
        metric = kind()
        reasons = [_REASONS[name] for name in metric.requires if name not in signals]
        reason = reasons[0] if reasons else metric.missing(recording.session)
        if reason is None:
            metrics.append(metric)
        else:
            left_out.append(LeftOut(model.name, model.seed, metric.name, reason))
    _run(recording, signals, metrics, train, scored, inference.file.path.name)

    rows, definitions, resampled = [], [], []
    for metric, (definition, estimate) in ((m, pair) for m in metrics for pair in m.estimates(bootstrap)):
        if isinstance(estimate, Undefined):
            left_out.append(LeftOut(model.name, model.seed, definition.metric, estimate.reason))
            continue
        definitions.append(definition)
        number = (estimate.value, estimate.low, estimate.high)
        key = (recording.file.name, model.name, model.seed, split, definition.metric, definition.name)
        rows.append(MetricRow(*key, *number))
        if metric.comparable:
            resampled.append(Resampled(rows[-1], estimate.resamples))
    return Scores(tuple(rows), tuple(left_out), tuple(definitions), tuple(resampled))


def scored_trials(recording: Recording, inference: Inference, split: str) -> Integers:
    """Positions of the trials to be scored, all of which the model has to have."""
    scored = recording.split(split)
    if len(scored) == 0:
        raise ValueError(f"{recording.file.path.name} has no trials in its {split} split")
    missing = int(np.sum(~inference.has[scored]))
    if missing:
        raise ValueError(
            f"{inference.file.path.name} lacks {missing} of the {len(scored)} {split} trials of "
            f"{recording.file.path.name}: infer all of them"
        )
    return scored


def _run(recording: Recording, signals, metrics: list[Metric], train: Integers, scored: Integers, name: str):
    fitted = [metric for metric in metrics if metric.fits]
    optional = {"observed"} & signals.keys()

    def needed(chosen: list[Metric], extra: set[str]) -> dict:
        names = {name for metric in chosen for name in metric.requires} | extra
        return {name: signals[name] for name in signals if name in names}

    try:
        if fitted:
            for block in blocks(recording, needed(fitted, optional), train):
                for metric in fitted:
                    metric.fit(block)
        if metrics:
            for block in blocks(recording, needed(metrics, optional), scored):
                for metric in metrics:
                    metric.score(block)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
