"""What a source doesn't say of a recording: its splits, what is held out, its regions and conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ctd_contract.errors import ContractError
from ctd_contract.schema import SPLITS

VALID, TEST = 0.1, 0.2
# Each kind of draw has a stream of its own, so that one option never changes what another draws.
_HELD_OUT_STREAM = 1


@dataclass(frozen=True)
class Design:
    """What is drawn by the seed, or stated, beside what the source says.

    Attributes:
        seed: Of all draws.
        valid: Share of trials that become valid: of all where the source has no splits, of train where it
            has two; None for a tenth.
        test: Share of all trials that become test where the source has no splits; None for a fifth.
        held_out: Neurons hidden from encoders, drawn by the seed: a number of them (1 or more), or a share
            (below 1), of each region where there are regions.
        forward: How many bins at the end are to be predicted.
        regions: Name to number of neurons, in the order of the neurons.
        trials_per_condition: Trial ids count through the conditions: that of trial i is i // this.
    """

    seed: int = 0
    valid: float | None = None
    test: float | None = None
    held_out: float = 0
    forward: int = 0
    regions: Mapping[str, int] = field(default_factory=dict)
    trials_per_condition: int | None = None

    def __post_init__(self) -> None:
        for name in ("valid", "test"):
            share = getattr(self, name)
            if share is not None and not 0 <= share < 1:
                _refuse(name, "a share of trials from 0 to below 1", share)
        if self.valid_share + self.test_share >= 1:
            _refuse("valid and test", "shares that leave trials to train", self.valid_share + self.test_share)
        if self.held_out < 0 or (self.held_out > 1 and self.held_out != int(self.held_out)):
            _refuse("held-out", "a number of neurons, or a share below 1", self.held_out)
        if self.forward < 0:
            _refuse("forward", "a number of bins", self.forward)
        if self.trials_per_condition is not None and self.trials_per_condition < 1:
            _refuse("trials-per-condition", "1 or more", self.trials_per_condition)
        if any(size < 1 for size in self.regions.values()):
            _refuse("regions", "1 or more neurons in each", dict(self.regions))

    @property
    def valid_share(self) -> float:
        """Share of trials that become valid."""
        return VALID if self.valid is None else self.valid

    @property
    def test_share(self) -> float:
        """Share of trials that become test."""
        return TEST if self.test is None else self.test

    def split(self, n_trials: int) -> np.ndarray:
        """Return the splits of a source that has none, uint8 (trial,), drawn by the seed."""
        order = np.random.default_rng(self.seed).permutation(n_trials)
        split = np.full(n_trials, SPLITS["train"], np.uint8)
        n_test, n_valid = round(self.test_share * n_trials), round(self.valid_share * n_trials)
        split[order[:n_test]] = SPLITS["test"]
        split[order[n_test : n_test + n_valid]] = SPLITS["valid"]
        return split

    def third_split(self, split: np.ndarray, where: str) -> np.ndarray:
        """Return three splits from two: valid becomes test, a share of train, drawn by the seed, valid."""
        if self.test is not None:
            self.refuse_split(where, "test")
        result = np.where(split == SPLITS["valid"], SPLITS["test"], split).astype(np.uint8)
        train = np.flatnonzero(result == SPLITS["train"])
        drawn = np.random.default_rng(self.seed).permutation(train)[: round(self.valid_share * len(train))]
        result[drawn] = SPLITS["valid"]
        return result

    def refuse_split(self, where: str, *names: str) -> None:
        """Refuse to draw splits that the source has."""
        for name in names or ("valid", "test"):
            if getattr(self, name) is not None:
                fix = f"leave out --{name}, or drop the split from the source"
                raise ContractError("CTD703", where, f"no {name} split of its own", "one", fix)

    def columns(
        self, where: str, n_time: int, n_neurons: int, found: Mapping[tuple[str, str], np.ndarray]
    ) -> tuple[dict[tuple[str, str], np.ndarray], dict[str, list[str]]]:
        """Return the columns that this adds, and the names of the regions and conditions in them.

        Args:
            where: The source, for errors.
            n_time: Bins.
            n_neurons: Neurons.
            found: The columns of the source.

        Raises:
            ContractError: It asks for more than there is, or for what the source states itself.
        """
        columns: dict[tuple[str, str], np.ndarray] = {}
        names: dict[str, list[str]] = {}
        if self.regions:
            columns["neurons", "region"] = self._region(where, n_neurons)
            names["region"] = list(self.regions)
        if self.held_out:
            region = columns.get(("neurons", "region"), found.get(("neurons", "region")))
            columns["neurons", "held_out"] = self._held_out(where, n_neurons, region)
        if self.forward:
            if self.forward >= n_time:
                raise _too_much(where, "forward", f"fewer than {n_time} bins", self.forward)
            columns["times", "forward"] = (np.arange(n_time) >= n_time - self.forward).astype(np.uint8)
        for key in columns.keys() & found.keys():
            if np.any(found[key]):
                fix = f"leave out the option, or drop {key[1]} from the source"
                raise ContractError("CTD703", f"{where}:{key[1]}", "none in the source", "one", fix)
        return columns, names

    def condition(self, where: str, trial: np.ndarray) -> np.ndarray:
        """Return the condition of each trial by its id, int32 (trial,)."""
        condition = trial // (self.trials_per_condition or 1)
        if condition.min(initial=0) < 0 or condition.max(initial=0) >= max(len(trial), 1):
            got = f"ids from {trial.min()} to {trial.max()}"
            raise _too_much(where, "trials-per-condition", f"ids of {len(trial)} trials from 0", got)
        return condition.astype(np.int32)

    def _region(self, where: str, n_neurons: int) -> np.ndarray:
        sizes = list(self.regions.values())
        if sum(sizes) != n_neurons:
            raise _too_much(where, "regions", f"sizes that add up to {n_neurons}", f"{sum(sizes)} in all")
        return np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)

    def _held_out(self, where: str, n_neurons: int, region: np.ndarray | None) -> np.ndarray:
        shared = self.held_out < 1
        by_region = shared and region is not None and len(region) == n_neurons
        groups = np.asarray(region) if by_region else np.zeros(n_neurons, int)
        random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(_HELD_OUT_STREAM,)))
        chosen = np.zeros(n_neurons, np.uint8)
        for group in np.unique(groups):
            members = np.flatnonzero(groups == group)
            number = round(self.held_out * len(members)) if shared else int(self.held_out)
            if number >= len(members):
                raise _too_much(where, "held-out", f"fewer than {len(members)} neurons", number)
            chosen[random.permutation(members)[:number]] = 1
        return chosen


def _refuse(option: str, expected: str, got: object) -> None:
    raise ContractError("CTD703", f"option {option}", expected, repr(got), f"give another --{option}")


def _too_much(where: str, option: str, expected: str, got: object) -> ContractError:
    return ContractError("CTD703", where, expected, str(got), f"mend --{option}")
