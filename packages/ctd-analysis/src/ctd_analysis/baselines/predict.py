"""A reference prediction of all trials of a recording, and its inference file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
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
    LinearDynamicsConfig,
    ReducedRankConfig,
    SmoothingConfig,
)
from ctd_analysis.baselines.counts import Counts
from ctd_analysis.baselines.factor_analysis import SmoothedFactors
from ctd_analysis.baselines.linear_dynamics import LinearModel, LinearStates, forecast, linear_model
from ctd_analysis.baselines.readout import (
    Features,
    Prepare,
    regress_bins,
    regress_forward,
    select_bins,
    select_forward,
)
from ctd_analysis.baselines.reduced_rank import ReducedRank
from ctd_analysis.baselines.search import Choice, by_setting
from ctd_analysis.baselines.smoothing import log_smoothed, select_rates, smoothed_rates
from ctd_analysis.results import Flags, Floats
from ctd_contract.reader import ContractFile

# Training bins of the regressions by which settings of linear dynamics are chosen.
_CHOOSING_BINS = 10_000


@dataclass(frozen=True)
class Prediction:
    """What a method predicts.

    Attributes:
        rates: Spikes/s, (trial, time, neuron); of continuous activity the activity itself.
        choices: What was predicted (`all`, `held_in`, `held_out`, `forward`, `forecast_<bins>`) to the
            settings chosen for it.
        forecasts: By how many bins ahead, as `rates`.
        model: The states, messages and dynamics of linear dynamics.
    """

    rates: Floats
    choices: dict[str, Choice]
    forecasts: dict[int, Floats] = field(default_factory=dict)
    model: LinearModel | None = None


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
    counts = Counts.of(recording, or_activity=isinstance(config, LinearDynamicsConfig))
    train, valid = (counts.take(recording.split(name)) for name in ("train", "valid"))
    for name, part in (("train", train), ("valid", valid)):
        if not len(part.spikes):
            what = "learn from" if name == "train" else "choose settings by"
            raise ValueError(f"{recording.path.name} has no {name} trials to {what}")
    if isinstance(config, ConditionAverageConfig):
        expected, choices = condition_average(train, valid, counts.condition, config)
        return Prediction(expected / counts.bin_width_s, choices)
    if isinstance(config, LinearDynamicsConfig):
        return _of_linear_dynamics(counts, train, valid, config, seed, recording.sizes.get("region", 1))
    expected, choices = _of_held_in(counts, train, valid, config, seed)
    return Prediction(expected / counts.bin_width_s, choices)


def _of_linear_dynamics(
    counts: Counts, train: Counts, valid: Counts, config: LinearDynamicsConfig, seed: int, n_regions: int
) -> Prediction:
    """Prediction by linear dynamics, with forecasts and the fitted system."""
    fits: dict[bytes, LinearStates] = {}

    def prepare(of: Counts) -> LinearStates:
        # Always fitted to all training trials, whichever take part in regressions.
        return fits.setdefault(of.held_out.tobytes(), LinearStates(train.hiding(of.held_out)))

    n_trials, n_bins = train.spikes.shape[:2]
    n_few = min(n_trials, max(1, _CHOOSING_BINS // n_bins))
    few = train.take(np.linspace(0, n_trials - 1, n_few).astype(np.int64))
    unit = 1.0 if counts.continuous else counts.bin_width_s
    expected, choices = _regressed(prepare, counts, train, valid, config, seed, few=few)
    forecasts = {}
    candidates = {"n_latents": config.n_latents, "ridge": [_chosen(choices, "ridge")]}
    for bins in sorted(set(config.forecasts)):
        told, choices[f"forecast_{bins}"] = forecast(
            prepare(train), train, valid, counts, candidates, bins, few=few
        )
        forecasts[bins] = np.zeros(expected.shape)
        forecasts[bins][:, ~counts.forward] = told / unit
    model = linear_model(prepare(train), counts, int(_chosen(choices, "n_latents")), n_regions)
    return Prediction(expected / unit, choices, forecasts, model)


def _chosen(choices: Mapping[str, Choice], name: str) -> float:
    """What was chosen for held-out neurons."""
    value = choices["held_out"].setting[name]
    return value[0] if isinstance(value, list) else value


def _regressed(
    prepare: Prepare,
    counts: Counts,
    train: Counts,
    valid: Counts,
    config: BaselineConfig,
    seed: int,
    *,
    few: Counts | None = None,
) -> tuple[Floats, dict[str, Choice]]:
    """All neurons by regressions on features of the held-in ones, in seen bins and forward ones.

    Settings are chosen by regressions on `few` of the training trials, by default on all.
    """
    few = train if few is None else few
    lists = asdict(config)
    candidates = {name: values for name, values in lists.items() if name != "forecasts"}
    everyone = np.ones(len(train.held_out), bool)
    expected, choices = np.zeros(counts.spikes.shape), {}
    setting, choices["held_out"] = select_bins(prepare, few, valid, candidates, seed)
    told = regress_bins(prepare(train)(setting), train, everyone, setting["ridge"])
    expected[:, ~train.forward] = told(counts.seen())
    if train.forward.any():
        setting, choices["forward"] = select_forward(prepare, few, valid, candidates)
        told = regress_forward(prepare(train)(setting), train, setting["ridge"])
        expected[:, train.forward] = told(counts.seen())
    return expected, choices


def _of_held_in(
    counts: Counts, train: Counts, valid: Counts, config: BaselineConfig, seed: int
) -> tuple[Floats, dict[str, Choice]]:
    """Expected counts by methods that see held-in neurons."""
    if isinstance(config, FactorAnalysisConfig):
        return _regressed(SmoothedFactors, counts, train, valid, config, seed)
    if isinstance(config, ReducedRankConfig):
        return _regressed(ReducedRank, counts, train, valid, config, seed)
    if not isinstance(config, SmoothingConfig):
        known = ", ".join(BASELINES)
        raise ValueError(f"there is no method for {type(config).__name__}, expected settings of {known}")
    candidates = {"width_s": config.width_s, "ridge": config.ridge}
    held_in, held_out = ~train.held_out, train.held_out
    expected = np.zeros(counts.spikes.shape)
    choices: dict[str, Choice] = {}

    def fill(rows: Flags, neurons: Flags, predicted: Features) -> None:
        expected[(slice(None), *np.ix_(rows, neurons))] = predicted(counts.seen())

    settings, choices["held_in"] = select_rates(train, valid, config)
    fill(
        ~train.forward,
        held_in,
        lambda seen: by_setting(settings, lambda setting: smoothed_rates(train, setting)(seen)),
    )
    make = log_smoothed(train)
    if held_out.any():
        setting, choices["held_out"] = select_bins(log_smoothed, train, valid, candidates, seed)
        fill(~train.forward, held_out, regress_bins(make(setting), train, held_out, setting["ridge"]))
    if train.forward.any():
        setting, choices["forward"] = select_forward(log_smoothed, train, valid, candidates)
        fill(train.forward, held_in | held_out, regress_forward(make(setting), train, setting["ridge"]))
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
    continuous = "spikes" not in recording.signals
    measure = "valid_r2" if continuous else "valid_bits_per_spike"
    chosen = {
        what: {**choice.setting, measure: choice.score, "settings_tried": choice.tried}
        for what, choice in prediction.choices.items()
    }
    ahead = {f"forecast_{bins}": told for bins, told in prediction.forecasts.items()}
    unit = recording.signals["activity"].unit if continuous else "spikes/s"
    cc.write_inference(
        path,
        recording,
        model=method,
        name=name,
        config={**(settings or {"model": {"name": method, **asdict(config)}}), "chosen": chosen},
        seed=seed,
        run=run,
        producer=f"ctd-analysis {version('ctd-analysis')}",
        overwrite=overwrite,
        units=dict.fromkeys(ahead, unit),
        **{"activity_prediction" if continuous else "rates": prediction.rates},
        **ahead,
        **_of_model(prediction.model, recording),
    )
    return prediction


def _of_model(model: LinearModel | None, recording: ContractFile) -> dict[str, Any]:
    """What a fitted system adds to the file; regions and messages where the recording has regions."""
    if model is None:
        return {}
    system = {"states": model.states, "dynamics": model.dynamics, "probe": model.probe}
    if "region" not in recording.sizes:
        return system
    return {**system, "messages": model.messages, "columns": {("states", "region"): model.regions}}
