"""Settings chosen by a score: one at a time, or for each neuron among all combinations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ctd_analysis.results import Floats

_MOST_ROUNDS = 5

Setting = dict[str, float]


@dataclass(frozen=True)
class Choice:
    """What a search found.

    Attributes:
        setting: Name to the value that was chosen, or to those of each neuron.
        score: Bits per spike of the valid split.
        tried: How many settings were scored.
    """

    setting: Mapping[str, float | list[float]]
    score: float
    tried: int


def search(
    candidates: Mapping[str, Sequence[float]], score: Callable[[Setting], float]
) -> tuple[Setting, Choice]:
    """Choose a value of each setting for all neurons: from the middle of its list on, the best, one by one.

    It ends when no change of one value scores higher.

    Args:
        candidates: Name to values, in order.
        score: Of a setting; higher is better, NaN is never chosen.

    Returns:
        The setting, and what is kept of the search.

    Raises:
        ValueError: No setting has a score.
    """
    known: dict[tuple[float, ...], float] = {}

    def scored(setting: Setting) -> float:
        key = tuple(setting.values())
        if key not in known:
            value = score(setting)
            known[key] = value if np.isfinite(value) else -np.inf
        return known[key]

    best: Setting = {name: values[len(values) // 2] for name, values in candidates.items()}
    for _ in range(_MOST_ROUNDS):
        before = dict(best)
        for name, values in candidates.items():
            best = max(({**best, name: value} for value in values), key=scored)
        if best == before:
            break
    if scored(best) == -np.inf:
        raise ValueError("the valid split has no spikes to choose settings by")
    return best, Choice(best, scored(best), len(known))


def search_by_neuron(
    candidates: Mapping[str, Sequence[float]],
    predict: Callable[[Setting], Floats],
    likelihood: Callable[[Floats], Floats],
) -> list[Setting]:
    """Choose for each neuron the combination of values under which its own counts are likeliest.

    Args:
        candidates: Name to values.
        predict: Expected counts of the valid trials under a setting, (trial, time, neuron).
        likelihood: Of such counts, (neuron,); the log.

    Returns:
        A setting for each neuron.
    """
    settings = [
        dict(zip(candidates, values, strict=True)) for values in itertools.product(*candidates.values())
    ]
    best = np.argmax([likelihood(predict(setting)) for setting in settings], axis=0)
    return [settings[index] for index in best]


def choice_by_neuron(
    settings: Sequence[Setting], score: float, candidates: Mapping[str, Sequence[float]]
) -> Choice:
    """What is kept of a search by neuron that scored so in all."""
    chosen = {name: [setting[name] for setting in settings] for name in candidates}
    return Choice(chosen, score, math.prod(len(values) for values in candidates.values()))


def by_setting(settings: Sequence[Setting], predict: Callable[[Setting], Floats]) -> Floats:
    """Predictions (..., neuron) of which each neuron's are made under a setting of its own."""
    result = None
    for setting in {tuple(one.items()): one for one in settings}.values():
        predicted = predict(setting)
        result = np.empty_like(predicted) if result is None else result
        own = [index for index, one in enumerate(settings) if one == setting]
        result[..., own] = predicted[..., own]
    return np.zeros(0) if result is None else result
