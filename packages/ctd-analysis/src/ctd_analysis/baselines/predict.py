"""A reference prediction of all trials of a recording, and its inference file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

import ctd_contract as cc
from ctd_analysis.baselines.condition_average import condition_average
from ctd_analysis.baselines.config import (
    BASELINES,
    BaselineConfig,
    ConditionAverageConfig,
    FactorAnalysisConfig,
    SmoothingConfig,
)
from ctd_analysis.baselines.counts import Counts
from ctd_analysis.baselines.factor_analysis import SmoothedFactors
from ctd_analysis.baselines.readout import (
    Features,
    regress_bins,
    regress_forward,
    select_bins,
    select_forward,
)
from ctd_analysis.baselines.search import Choice, by_setting
from ctd_analysis.baselines.smoothing import log_smoothed, select_rates, smoothed_rates
from ctd_analysis.results import Flags, Floats
from ctd_contract.reader import ContractFile


@dataclass(frozen=True)
class Prediction:
    """What a method predicts.

    Attributes:
        rates: Spikes/s, (trial, time, neuron).
        choices: What was predicted (`all`, `held_in`, `held_out`, `forward`) to the settings chosen for it.
    """

    rates: Floats
    choices: dict[str, Choice]


def predict(recording: ContractFile, config: BaselineConfig, *, seed: int = 0) -> Prediction:
    """Predict all trials of a recording.

    The training split alone is learned from; settings are chosen on the valid split; of every trial the
    method sees held-in neurons in bins that aren't forward, or its condition.

    Args:
        recording: The recording, of spikes.
        config: Which method, and the settings to choose from.
        seed: Of the neurons that settings are chosen by where a recording holds none out.

    Raises:
        ValueError: The recording has no spikes, conditions, training or valid trials as they are needed.
    """
    counts = Counts.of(recording)
    train, valid = (counts.take(recording.split(name)) for name in ("train", "valid"))
    for name, part in (("train", train), ("valid", valid)):
        if not len(part.spikes):
            what = "learn from" if name == "train" else "choose settings by"
            raise ValueError(f"{recording.path.name} has no {name} trials to {what}")
    if isinstance(config, ConditionAverageConfig):
        expected, choices = condition_average(train, valid, counts.condition, config)
        return Prediction(expected / counts.bin_width_s, choices)
    expected, choices = _of_held_in(counts, train, valid, config, seed)
    return Prediction(expected / counts.bin_width_s, choices)


def _of_held_in(
    counts: Counts, train: Counts, valid: Counts, config: BaselineConfig, seed: int
) -> tuple[Floats, dict[str, Choice]]:
    """Expected counts by methods that see held-in neurons."""
    if isinstance(config, SmoothingConfig):
        prepare, candidates = log_smoothed, {"width_s": config.width_s, "ridge": config.ridge}
    elif isinstance(config, FactorAnalysisConfig):
        prepare, candidates = SmoothedFactors, asdict(config)
    else:
        known = ", ".join(BASELINES)
        raise ValueError(f"there is no method for {type(config).__name__}, expected settings of {known}")
    held_in, held_out = ~train.held_out, train.held_out
    expected = np.zeros(counts.spikes.shape)
    choices: dict[str, Choice] = {}

    def fill(rows: Flags, neurons: Flags, predicted: Features) -> None:
        expected[(slice(None), *np.ix_(rows, neurons))] = predicted(counts.seen())

    if isinstance(config, SmoothingConfig):
        settings, choices["held_in"] = select_rates(train, valid, config)
        fill(
            ~train.forward,
            held_in,
            lambda seen: by_setting(settings, lambda setting: smoothed_rates(train, setting)(seen)),
        )
    regressed = held_out if isinstance(config, SmoothingConfig) else held_in | held_out
    if regressed.any():
        setting, choices["held_out"] = select_bins(prepare, train, valid, candidates, seed)
        fill(
            ~train.forward,
            regressed,
            regress_bins(prepare(train)(setting), train, regressed, setting["ridge"]),
        )
    if train.forward.any():
        setting, choices["forward"] = select_forward(prepare, train, valid, candidates)
        forward = regress_forward(prepare(train)(setting), train, setting["ridge"])
        fill(train.forward, held_in | held_out, forward)
    return expected, choices


def write_prediction(
    path: str | os.PathLike[str],
    recording: ContractFile,
    config: BaselineConfig,
    *,
    name: str | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    run: str | None = None,
    overwrite: bool = False,
) -> Prediction:
    """Predict and write the inference file; its configuration holds what was chosen and its score on valid.

    Args:
        path: The file to write.
        recording: The recording.
        config: Which method, and the settings to choose from.
        name: What it is called in tables; by default the method's name.
        seed: As in `predict`.
        settings: Configuration to be kept; by default that of the method.
        run: Id of the run.
        overwrite: Replace an existing file.

    Raises:
        ValueError: As in `predict`.
        ContractError: `path` exists.
    """
    method = next(key for key, kind in BASELINES.items() if isinstance(config, kind))
    prediction = predict(recording, config, seed=seed)
    chosen = {
        what: {**choice.setting, "valid_bits_per_spike": choice.score, "settings_tried": choice.tried}
        for what, choice in prediction.choices.items()
    }
    cc.write_inference(
        path,
        recording,
        model=method,
        name=name,
        rates=prediction.rates,
        config={**(settings or {"model": {"name": method, **asdict(config)}}), "chosen": chosen},
        seed=seed,
        run=run,
        producer=f"ctd-analysis {version('ctd-analysis')}",
        overwrite=overwrite,
    )
    return prediction
