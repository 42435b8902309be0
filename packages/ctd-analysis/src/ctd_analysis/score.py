"""All metrics of one model: read in blocks, fitted on training trials, scored on the chosen split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ctd_analysis.bootstrap import Bootstrap, Undefined
from ctd_analysis.differences import Resampled
from ctd_analysis.metrics import INPUT_METRICS, METRICS, Metric, forecast_metrics
from ctd_analysis.results import CEILINGS, Definition, Integers, LeftOut, MetricRow, ModelResult
from ctd_analysis.sources import Inference, Recording, Signal, blocks

_REASONS = {
    "spikes": "the recording has no spikes",
    "behavior": "the recording has no behaviour",
    "true_rates": "the recording has no true rates",
    "true_states": "the recording has no true states",
    "clean_inputs": "the recording has no inputs before noise",
    "driving_inputs": "the recording has no true inputs",
    "changing_inputs": "the recording has no inputs before noise with a target for each channel",
    "true_communication": "the recording has no true messages between regions",
    "communication": "the model has no messages between regions",
    "activity": "the recording has no continuous activity",
    "true_activity": "the recording has no true activity",
    "true_mode": "the recording has no true modes",
    "rates": "the model gives no rates",
    "activity_prediction": "the model predicts no continuous activity",
    "mode_probability": "the model has no modes",
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
    learned = {
        name: np.flatnonzero(recording.file.split(name) & inference.has) for name in ("train", "valid")
    }
    signals = _true_signals(recording) | {k: v for k, v in inference.signals.items() if k != "inputs"}
    left_out: list[LeftOut] = []
    metrics: list[Metric] = []
    for kind in METRICS:
        metric = kind()
        reasons = [_REASONS[name] for name in metric.requires if name not in signals]
        reason = reasons[0] if reasons else metric.missing(recording.session)
        if reason is None:
            metrics.append(metric)
        elif (missing := LeftOut(model.name, model.seed, metric.name, reason)) not in left_out:
            left_out.append(missing)
    metrics += forecast_metrics(signals)
    _run(recording, signals, metrics, learned, scored, inference.file.path.name)
    found = _scores(recording.file.name, (model.name, model.seed, split), metrics, bootstrap)
    return replace(found, left_out=(*left_out, *found.left_out))


def score_ceilings(recording: Recording, *, split: str, bootstrap: Bootstrap) -> Iterator[Scores]:
    """Scores the true inputs as if a model had inferred them: what exact inference gets on these trials.

    Args:
        recording: The recording.
        split: The split that is scored.
        bootstrap: Settings of the intervals.

    Yields:
        Of each of `CEILINGS` that is known.
    """
    known = _true_signals(recording)
    learned, scored = {"train": recording.split("train")}, recording.split(split)
    for name, source in zip(CEILINGS, ("clean_inputs", "changing_inputs"), strict=True):
        if source in known:
            signals = known | {"inferred_inputs": known[source]}
            metrics = [kind() for kind in INPUT_METRICS if set(kind.requires) <= signals.keys()]
            _run(recording, signals, metrics, learned, scored, recording.file.path.name)
            found = _scores(recording.file.name, (name, -1, split), metrics, bootstrap)
            yield replace(found, left_out=(), resampled=())


def _true_signals(recording: Recording) -> dict[str, Signal]:
    changing = recording.changing_inputs
    return {**recording.signals, **({} if changing is None else {"changing_inputs": changing})}


def _scores(
    dataset: str, name: tuple[str, int, str], metrics: Sequence[Metric], bootstrap: Bootstrap
) -> Scores:
    """What metrics that have seen all trials say of the model, seed and split of that name."""
    model, seed, split = name
    rows, left_out, definitions, resampled = [], [], [], []
    for metric, (definition, estimate) in ((m, pair) for m in metrics for pair in m.estimates(bootstrap)):
        if isinstance(estimate, Undefined):
            left_out.append(LeftOut(model, seed, definition.metric, estimate.reason))
            continue
        definitions.append(definition)
        number = (estimate.value, estimate.low, estimate.high)
        key = (dataset, model, seed, split, definition.metric, definition.name)
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


def _run(
    recording: Recording,
    signals: Mapping[str, Signal],
    metrics: Sequence[Metric],
    learned: Mapping[str, Integers],
    scored: Integers,
    name: str,
) -> None:
    optional = {"observed"} & signals.keys()

    def needed(chosen: Sequence[Metric], extra: set[str]) -> dict[str, Signal]:
        names = {name for metric in chosen for name in metric.requires} | extra
        return {name: signals[name] for name in signals if name in names}

    try:
        for split, trials in learned.items():
            fitted = [metric for metric in metrics if metric.fits and metric.fits_on == split]
            for block in blocks(recording, needed(fitted, optional), trials) if fitted else ():
                for metric in fitted:
                    metric.fit(block)
        if metrics:
            for block in blocks(recording, needed(metrics, optional), scored):
                for metric in metrics:
                    metric.score(block)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
