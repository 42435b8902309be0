"""What a model is to a stream: it starts from a segment of bins, then goes on bin by bin."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from ctd_models_torch.base import Inferred
from ctd_models_torch.batch import Batch


class Course(ABC):
    """Some trials in the course of which a model is; what it carries from bin to bin is kept here.

    Attributes:
        segment: Observed bins from which the initial state is inferred.
    """

    segment: int

    @abstractmethod
    def see(self, batch: Batch) -> Tensor:
        """What encoders read of a bin, (trial, channel), given as a batch of one bin."""

    @abstractmethod
    def begin(self, segment: Tensor) -> None:
        """Infer the initial state.

        Args:
            segment: (trial, bin, channel), what encoders read of the first observed bins.
        """

    @abstractmethod
    def advance(self, seen: Tensor | None, external: Tensor | None, bins: int) -> Inferred:
        """Go on.

        Args:
            seen: (trial, channel), what encoders read of the last of these bins; None where there is nothing
                that is not the initial state's alone.
            external: (trial, time, input), known inputs of these bins, or None.
            bins: Their number.
        """
