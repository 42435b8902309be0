"""A member of the population between two generations: plain data and tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ctd_contract.torch.random import generator
from ctd_models_torch.search.space import Space, Values

Tree = dict[str, Any]


@dataclass(frozen=True)
class Check:
    """Scores of the validation trials after an epoch.

    Attributes:
        epoch: From 1.
        score: The monitored score, smoothed.
        scores: All scores by name.
    """

    epoch: int
    score: float
    scores: dict[str, float]


@dataclass(frozen=True)
class Member:
    """What a member is.

    Attributes:
        seed: Of its initial weights and of everything that its training draws.
        values: Its hyperparameters, by key.
        epoch: Epochs done.
        weights: Of its model; None before the first epoch, where the seed gives them.
        moments: State of its optimizer, by the position of the parameter.
        rate: Learning rate of the next epoch, relative to its peak; None for what the schedule begins with.
        checks: Of the last generation.
        failure: Why it can't go on; empty while it can.
    """

    seed: int
    values: Values
    epoch: int = 0
    weights: Mapping[str, Tensor] | None = None
    moments: Mapping[int, Mapping[str, Tensor]] = field(default_factory=dict)
    rate: float | None = None
    checks: list[Check] = field(default_factory=list)
    failure: str = ""

    @classmethod
    def first(cls, space: Space, index: int) -> Member:
        """The member with this number, before any training."""
        stream = generator(space.seed, "seed of a member", index)
        return cls(int(torch.randint(2**31, (), generator=stream)), space.draw(index))

    @property
    def score(self) -> float:
        """The last one, smoothed; no number for a member that failed or never was scored."""
        return self.checks[-1].score if self.checks and not self.failure else math.nan

    def copy_of(self, winner: Member, values: Values) -> Member:
        """The winner's weights, moments and scores with other hyperparameters, and a seed of its own."""
        return replace(winner, seed=self.seed, values=values)

    def tree(self) -> Tree:
        """As a checkpoint holds it."""
        checks = [asdict(check) for check in self.checks]
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"checks": checks}

    @classmethod
    def of(cls, tree: Tree) -> Member:
        """Of what `tree` gave."""
        values: Tree = tree | {"checks": [Check(**check) for check in tree["checks"]]}
        return cls(**values)
