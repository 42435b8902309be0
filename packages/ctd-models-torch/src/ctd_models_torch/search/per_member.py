"""Numbers and random draws that differ among the members of a batched population."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map


class MembersDifferError(ValueError):
    """What a program does would depend on the member, so members can't do it together."""


class Lanes(TorchFunctionMode):
    """Inside ``torch.vmap`` over members, gives each of them its own numbers and draws.

    Attributes:
        index: Position of the member, a scalar that ``vmap`` has batched; None outside of it.
    """

    index: Tensor | None = None

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Draw for every member from its own stream; let everything else pass."""
        given = (args, kwargs or {})
        streams = [value for value in (*args, *given[1].values()) if isinstance(value, Streams)]
        if not streams:
            return function(*args, **given[1])
        drawn = []
        for member in range(len(streams[0].streams)):
            own_args, own_kwargs = tree_map(partial(_own, member=member), given)
            drawn.append(function(*own_args, **own_kwargs))
        return self.of(torch.stack(drawn))

    def of(self, stacked: Tensor) -> Tensor:
        """This member's part of (member, ...)."""
        return stacked[self.index]


class Streams(torch.Generator):
    """One random stream for every member, to be passed on where one is expected."""

    streams: Sequence[torch.Generator]


def streams_of(streams: Sequence[torch.Generator]) -> Streams:
    """Put the members' streams together."""
    together = Streams(streams[0].device)
    together.streams = streams
    return together


@dataclass(frozen=True, eq=False)
class PerMember:
    """A number of every member. Where a tensor meets it, it is that of the member that ``vmap`` is at.

    Args:
        name: Of the hyperparameter, for errors.
        values: (member,) float64.
        lanes: Where the member's position stands.
    """

    name: str
    values: Tensor
    lanes: Lanes

    def __deepcopy__(self, memo: Any) -> PerMember:
        return self

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Compute with the member's number."""

        def own(value: Any) -> Any:
            if not isinstance(value, cls):
                return value
            return value._differ() if value.lanes.index is None else value.lanes.of(value.values)

        return function(*(tree_map(own, part) for part in args), **tree_map(own, kwargs or {}))

    def _new(self, other: Any, function: Callable[[Any, Any], Tensor]) -> Any:
        if isinstance(other, Tensor):
            return NotImplemented
        given = other.values if isinstance(other, PerMember) else other
        return PerMember(self.name, function(self.values, given), self.lanes)

    def _same(self, other: Any, function: Callable[[Any, Any], Tensor]) -> bool:
        """What all members answer."""
        answers = set(self._new(other, function).values.tolist())
        return answers.pop() if len(answers) == 1 else self._differ()

    def _differ(self) -> NoReturn:
        raise MembersDifferError(
            f"{self.name} decides what is computed and differs among the members: set search.batched=false"
        )

    def __float__(self) -> float:
        return self._differ()

    def __round__(self) -> PerMember:
        return PerMember(self.name, self.values.round(), self.lanes)

    def __bool__(self) -> bool:
        return self._same(0.0, operator.ne)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self._same(other, operator.eq)

    def __lt__(self, other: Any) -> Any:
        return self._same(other, operator.lt)

    def __le__(self, other: Any) -> Any:
        return self._same(other, operator.le)

    def __gt__(self, other: Any) -> Any:
        return self._same(other, operator.gt)

    def __ge__(self, other: Any) -> Any:
        return self._same(other, operator.ge)

    def __neg__(self) -> PerMember:
        return self._new(-1.0, operator.mul)

    def __add__(self, other: Any) -> Any:
        return self._new(other, operator.add)

    def __sub__(self, other: Any) -> Any:
        return self._new(other, operator.sub)

    def __rsub__(self, other: Any) -> Any:
        return self._new(other, lambda own, given: given - own)

    def __mul__(self, other: Any) -> Any:
        return self._new(other, operator.mul)

    def __truediv__(self, other: Any) -> Any:
        return self._new(other, operator.truediv)

    def __rtruediv__(self, other: Any) -> Any:
        return self._new(other, lambda own, given: given / own)

    __radd__, __rmul__ = __add__, __mul__


def _own(value: Any, *, member: int) -> Any:
    """What a draw is given for one member."""
    if isinstance(value, Streams):
        return value.streams[member]
    return float(value.values[member]) if isinstance(value, PerMember) else value
