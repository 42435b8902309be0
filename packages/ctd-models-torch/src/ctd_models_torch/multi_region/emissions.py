"""What messages are made of: the emission of a region's bin."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ctd_models_torch.readouts import Readout
from ctd_models_torch.readouts.linear import LinearReadout
from ctd_models_torch.readouts.orthonormal import OrthonormalReadout


class Emission(ABC):
    """What of a bin the messages of the next one are an affine map of."""

    @abstractmethod
    def of(self, states: Tensor, factors: Tensor) -> Tensor:
        """Emission (trial, emission).

        Args:
            states: (trial, state), the generator's, with dropout.
            factors: (trial, factor).
        """

    @abstractmethod
    def affine(self, factor_weight: Tensor) -> tuple[Tensor | None, Tensor | None] | None:
        """Weight (emission, state) and bias (emission,) from the states; None where they aren't affine.

        None in the place of one stands for the identity, or for zero.

        Args:
            factor_weight: (factor, state).
        """


class StatesEmission(Emission):
    """The generator's state itself."""

    def of(self, states: Tensor, factors: Tensor) -> Tensor:  # noqa: ARG002
        """See Emission."""
        return states

    def affine(self, factor_weight: Tensor) -> tuple[None, None]:  # noqa: ARG002
        """See Emission."""
        return None, None


class FactorsEmission(Emission):
    """The factors."""

    def of(self, states: Tensor, factors: Tensor) -> Tensor:  # noqa: ARG002
        """See Emission."""
        return factors

    def affine(self, factor_weight: Tensor) -> tuple[Tensor, None]:
        """See Emission."""
        return factor_weight, None


@dataclass
class RatesEmission(Emission):
    """Predictions of the neurons that encoders see: log rates, for spikes.

    Attributes:
        readout: Of the region.
        rows: (seen neuron,) positions among its predictions.
    """

    readout: Readout
    rows: Tensor

    def of(self, states: Tensor, factors: Tensor) -> Tensor:  # noqa: ARG002
        """See Emission."""
        return self.readout(factors).index_select(1, self.rows.to(factors.device))

    def affine(self, factor_weight: Tensor) -> tuple[Tensor, Tensor] | None:
        """See Emission."""
        if not isinstance(self.readout, LinearReadout | OrthonormalReadout):
            return None
        size = factor_weight.shape[0]
        basis = torch.eye(size, dtype=factor_weight.dtype, device=factor_weight.device)
        bias = self.of(basis, basis.new_zeros(1, size))
        return (self.of(basis, basis) - bias).t() @ factor_weight, bias[0]
