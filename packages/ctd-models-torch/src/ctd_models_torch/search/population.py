"""The population between two generations, and its checkpoints: tensors and plain data, written atomically."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ctd_contract.torch.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from ctd_models_torch.errors import InputError
from ctd_models_torch.search.config import SearchConfig
from ctd_models_torch.search.member import Member
from ctd_models_torch.search.space import Space
from ctd_models_torch.search.tournament import parents, settled, worse

FOLDER = "population"
FILE = "population.safetensors"


@dataclass(frozen=True)
class Best:
    """The member with the best score of all generations.

    Attributes:
        position: In the population.
        generation: At whose end it was, from 0.
        member: As it was then, without the optimizer's moments.
    """

    position: int
    generation: int
    member: Member


@dataclass(frozen=True)
class Population:
    """All members after a generation and the tournament that follows it.

    Attributes:
        identity: What the search was started with; one that is continued must have the same.
        members: The members.
        parents: For each, the position of the member that it is the copy of, mostly its own.
        generation: Generations done.
        best: So far; None before the first generation.
        costs: Of the best member of each generation after the burn-in; smaller is better.
        rows: One for each member and generation, see `history`.
        checks: One for each member and check of the validation trials.
        reason: Why the search has ended; empty while it goes on.
    """

    identity: dict[str, Any]
    members: list[Member]
    parents: list[int]
    generation: int = 0
    best: Best | None = None
    costs: list[float] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""

    @classmethod
    def first(cls, identity: dict[str, Any], space: Space, size: int) -> Population:
        """Before the first generation."""
        return cls(identity, [Member.first(space, index) for index in range(size)], list(range(size)))

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return max(member.epoch for member in self.members if not member.failure)

    def next_end(self, config: SearchConfig, burn_in: int, last: int) -> int:
        """Epochs done at the end of the coming generation; one of them ends with the burn-in."""
        end = self.epoch + config.generation_epochs
        return min(last, burn_in if self.epoch < burn_in < end else end)

    def after(
        self, members: list[Member], config: SearchConfig, space: Space, *, burn_in: int, last: int
    ) -> Population:
        """What follows a generation: it is written down, and unless the search ends members compete.

        Args:
            members: The members as trained.
            config: Settings of the search.
            space: The hyperparameters.
            burn_in: Epochs before the first tournament.
            last: Epochs after which the search ends.
        """
        trained = self._recorded(members, config.mode)
        if all(member.failure for member in members):
            return replace(trained, reason="every member has failed")
        epoch, costs = trained.epoch, trained.costs
        if epoch >= burn_in:
            costs = [*costs, min(worse(member.score, config.mode) for member in members)]
        trained = replace(trained, costs=costs, generation=self.generation + 1)
        if epoch >= last:
            return replace(trained, reason="all epochs done")
        if settled(costs, config.stop.generations, config.stop.ratio):
            return replace(trained, reason=f"no gain in {config.stop.generations} generations")
        if config.kind == "random" or epoch < burn_in:
            return replace(trained, parents=list(range(len(members))))
        return trained._after_tournament(config.mode, space)

    def _recorded(self, members: list[Member], mode: str) -> Population:
        rows, checks, best = [], [], self.best
        for position, member in enumerate(members):
            place = {"generation": self.generation, "member": position}
            figures = member.checks[-1].scores if member.checks else {}
            rows.append(
                place
                | {"epoch": member.epoch, "parent": self.parents[position], "score": member.score}
                | {"failure": member.failure, "seed": member.seed, **member.values}
                | {f"valid/{name}": value for name, value in figures.items()}
            )
            checks += [
                place | {"epoch": check.epoch, "score": check.score}
                for check in member.checks
                if check.epoch > self.members[position].epoch
            ]
            if best is None or worse(member.score, mode) < worse(best.member.score, mode):
                best = Best(position, self.generation, replace(member, moments={}))
        return replace(self, members=members, rows=self.rows + rows, checks=self.checks + checks, best=best)

    def _after_tournament(self, mode: str, space: Space) -> Population:
        scores = [member.score for member in self.members]
        chosen = parents(scores, mode, space.seed, self.generation)
        members = list(self.members)
        for position, winner in enumerate(chosen):
            if winner != position:
                values = space.perturb(self.members[winner].values, self.generation, position)
                members[position] = members[position].copy_of(self.members[winner], values)
        return replace(self, members=members, parents=chosen)

    def save(self, folder: Path) -> None:
        """Write it to a search's folder in place of the one before."""
        tree = {name: getattr(self, name) for name in self.__dataclass_fields__}
        tree["members"] = [member.tree() for member in self.members]
        if self.best is not None:
            tree["best"] = {**vars(self.best), "member": self.best.member.tree()}
        save_checkpoint(folder / FOLDER / FILE, tree)

    @classmethod
    def load(cls, folder: Path, identity: Mapping[str, Any]) -> Population | None:
        """Read the one in a search's folder; None where there is none.

        Raises:
            InputError: It is damaged, or of a search with other settings.
        """
        try:
            tree = load_checkpoint(folder / FOLDER / FILE)
        except FileNotFoundError:
            return None
        except CheckpointError as error:
            raise InputError(str(error)) from error
        for name, before in tree["identity"].items():
            if identity.get(name) != before:
                raise InputError(
                    f"the interrupted search in {folder} had another {name} ({before}; now "
                    f"{identity.get(name)}): continue it with the same, or start in another folder"
                )
        tree["members"] = [Member.of(member) for member in tree["members"]]
        if tree["best"] is not None:
            tree["best"] = Best(**tree["best"] | {"member": Member.of(tree["best"]["member"])})
        return cls(**tree)


def save_trained(folder: Path, generation: int, position: int, member: Member) -> None:
    """Keep a member that is through a generation, so that a killed search need not train it again."""
    save_checkpoint(_trained(folder, position), {"generation": generation, "member": member.tree()})


def load_trained(folder: Path, generation: int, size: int) -> dict[int, Member]:
    """The members that are through this generation, by position."""
    found = {}
    for position in range(size):
        path = _trained(folder, position)
        if path.is_file():
            tree = load_checkpoint(path)
            if tree["generation"] == generation:
                found[position] = Member.of(tree["member"])
    return found


def forget(folder: Path, size: int) -> None:
    """Remove the checkpoints of a search that has been written over."""
    for path in (folder / FOLDER / FILE, *(_trained(folder, position) for position in range(size))):
        path.unlink(missing_ok=True)


def _trained(folder: Path, position: int) -> Path:
    return folder / FOLDER / f"member_{position}.safetensors"
