"""What every readout is: from states to the parameters of what is observed."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ctd_contract.readout import Readout as PortableReadout


class Readout(nn.Module, ABC):
    """From states to one value per neuron: a log count of a bin, or the mean of an activity."""

    @abstractmethod
    def forward(self, states: Tensor) -> Tensor:
        """Map (..., state) to (..., neuron)."""

    @abstractmethod
    def portable(self, link: str, scale: float) -> PortableReadout:
        """The contract's form.

        Args:
            link: Nonlinearity of the last layer: ``"exp"`` for log counts, ``"identity"`` for means.
            scale: 1 / bin width (s) for counts, 1 for means.
        """
