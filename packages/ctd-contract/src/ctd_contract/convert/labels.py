"""What a recording and its channels are called, and in which units they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ctd_contract.errors import ContractError
from ctd_contract.schema import SIGNALS

from .trials import Trials


@dataclass(frozen=True)
class Labels:
    """Names and units that a source doesn't state.

    Attributes:
        name: Of the recording; the source's without its ending by default.
        units: Signal to its unit, `behavior` to `mm/s`.
        channels: Axis to the names of its entries: `behavior`, `input`, `condition`, ...
    """

    name: str | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    channels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def apply(self, trials: Trials, where: str) -> None:
        """Put them to the trials.

        Raises:
            ContractError: There is no such signal or axis, or it has another number of channels.
        """
        present = {**trials.signals, **trials.truth}
        for signal, unit in self.units.items():
            if signal not in present or SIGNALS[signal].unit is not None:
                own = ", ".join(name for name in present if SIGNALS[name].unit is None) or "none"
                fix = "mend --unit"
                raise ContractError(
                    "CTD703", where, "signals with a unit of their own", signal, fix + f": {own}"
                )
            trials.units[signal] = unit
        sizes = {axis: len(names) for axis, names in trials.names.items()}
        sizes |= {SIGNALS[name].axes[-1]: array.shape[-1] for name, array in present.items()}
        sizes["neuron"] = trials.data.shape[2]
        for axis, names in self.channels.items():
            if sizes.get(axis) != len(names):
                listed = ", ".join(f"{size} of {axis}" for axis, size in sizes.items())
                got = f"{len(names)} names of {axis}"
                raise ContractError(
                    "CTD703", where, f"as many names as entries: {listed}", got, "mend --channels"
                )
            trials.names[axis] = list(names)
