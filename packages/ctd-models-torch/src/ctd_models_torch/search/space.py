"""The search space: where hyperparameters stand in the configuration, how they are drawn and perturbed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any, get_args, get_type_hints

import torch

from ctd_contract.torch.random import generator
from ctd_models_torch.config import FitConfig, ModelConfig, ReadoutConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.search.config import RangeConfig
from ctd_models_torch.training import check_config

# Smallest share of its weight by which a value is perturbed, and draws before it is clipped (the published
# tournament's).
LEAST_CHANGE = 0.002
TRIES = 99

Values = dict[str, float]


@dataclass(frozen=True)
class Settings:
    """The parts of a configuration that hyperparameters may stand in.

    Attributes:
        model: Settings of the model.
        readout: Of its readout.
        training: Of the training.
    """

    model: ModelConfig
    readout: ReadoutConfig
    training: FitConfig

    def with_values(self, values: Mapping[str, Any]) -> Settings:
        """The same settings with other values in named places.

        Raises:
            InputError: A setting refuses its value.
        """
        changed = self
        try:
            for key, value in values.items():
                changed = _replaced(changed, key.split("."), value)
        except ValueError as error:
            raise InputError(f"{error}: a value that search.space gives") from error
        check_config(changed.training)
        return changed

    def numeric(self) -> dict[str, bool]:
        """Keys of all numbers, and whether each is a whole one."""
        return dict(_numbers(self, ""))


def _replaced(settings: Any, path: Sequence[str], value: Any) -> Any:
    name, *rest = path
    return replace(settings, **{name: _replaced(getattr(settings, name), rest, value) if rest else value})


def _numbers(settings: Any, prefix: str) -> list[tuple[str, bool]]:
    hints, found = get_type_hints(type(settings)), []
    for field in fields(settings):
        value, kinds = getattr(settings, field.name), set(get_args(hints[field.name])) or {hints[field.name]}
        if is_dataclass(value):
            found += _numbers(value, f"{prefix}{field.name}.")
        elif kinds & {int, float}:
            found.append((f"{prefix}{field.name}", float not in kinds))
    return found


@dataclass(frozen=True)
class Space:
    """The hyperparameters of a search.

    Attributes:
        ranges: One for each, by key.
        whole: Keys of those that are whole numbers.
        seed: Of the draws.
    """

    ranges: Mapping[str, RangeConfig]
    whole: frozenset[str]
    seed: int

    @classmethod
    def of(cls, ranges: Sequence[RangeConfig], settings: Settings, seed: int) -> Space:
        """Look the keys up in the settings.

        Raises:
            InputError: A key is no number of the configuration, stands there twice, or there is none.
        """
        known = settings.numeric()
        keys = [one.key for one in ranges]
        if not keys:
            raise InputError("search.space is empty: name at least one hyperparameter, or leave it out")
        for key in keys:
            if key not in known:
                close = get_close_matches(key, known, 1)
                hint = f" (did you mean {close[0]}?)" if close else f"; there are {', '.join(known)}"
                raise InputError(f"search.space: no number is called {key!r}{hint}")
            if keys.count(key) > 1:
                raise InputError(f"search.space: {key} stands there twice")
        return cls({one.key: one for one in ranges}, frozenset(k for k in keys if known[k]), seed)

    def draw(self, member: int) -> Values:
        """First values of a member."""
        return {
            key: self._number(key, _first(one, self._stream(key, member))) for key, one in self.ranges.items()
        }

    def perturb(self, values: Mapping[str, float], generation: int, member: int) -> Values:
        """Values of a loser, given its winner's: each times 1 ± U(0.002 w, w).

        A value that leaves its bounds is drawn again, and clipped after 99 tries.
        """
        changed = {}
        for key, one in self.ranges.items():
            stream = self._stream(key, member, generation)
            changed[key] = self._number(key, _perturbed(values[key], one, stream))
        return changed

    def _stream(self, key: str, *rest: int) -> torch.Generator:
        return generator(self.seed, "hyperparameter", key, *rest)

    def _number(self, key: str, value: float) -> float:
        return round(value) if key in self.whole else value


def _first(one: RangeConfig, stream: torch.Generator) -> float:
    if one.start == "fixed" and one.value is not None:
        return one.value
    share = _uniform(stream)
    if one.start == "log_uniform":
        return math.exp(math.log(one.low) + share * (math.log(one.high) - math.log(one.low)))
    return one.low + share * (one.high - one.low)


def _perturbed(value: float, one: RangeConfig, stream: torch.Generator) -> float:
    drawn = value
    for _ in range(TRIES):
        change = one.weight * (LEAST_CHANGE + (1.0 - LEAST_CHANGE) * _uniform(stream))
        drawn = value * (1.0 + (change if _uniform(stream) < 0.5 else -change))
        if not one.enforce or one.low <= drawn <= one.high:
            return drawn
    return min(max(drawn, one.low), one.high)


def _uniform(stream: torch.Generator) -> float:
    return float(torch.rand((), dtype=torch.float64, generator=stream))
