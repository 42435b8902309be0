"""LFADS's encoders: gated recurrent units that read the data from both ends, or only forwards."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ctd_contract.torch.sequences import bidirectional_gru, gru
from ctd_contract.torch.sequences.bidirectional_gru import BidirectionalStates
from ctd_models_torch.lfads.config import GeneratorConfig
from ctd_models_torch.lfads.initial_weights import GRUParameters


class Encoder(nn.Module):
    """Two units, one per direction, with learned initial states; or one for a causal encoder.

    Args:
        input_size: Neurons that are seen.
        size: Units of each direction.
        units: Form of the units: reset and clip.
        causal: Only read forwards.
        generator: Stream of the initial weights.

    Attributes:
        backend: ``"fast"`` or ``"plain"``, as in `Decoder`.
    """

    def __init__(
        self,
        input_size: int,
        size: int,
        units: GeneratorConfig,
        *,
        causal: bool = False,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.size, self.causal = size, causal
        self.reset, self.clip = units.reset, units.clip
        self.backend = "fast"
        self.forwards = GRUParameters(input_size, size, joint=True, generator=generator)
        self.initial = nn.Parameter(torch.zeros(1 if causal else 2, size))
        if not causal:
            self.backwards = GRUParameters(input_size, size, joint=True, generator=generator)

    def last(self, seen: Tensor, lengths: Tensor | None) -> Tensor:
        """Last states of both directions, (trial, 2 unit).

        Args:
            seen: (trial, bin, neuron).
            lengths: (trial,) bins before the padding, at least 1; None for whole trials.
        """
        states = self._read(seen, lengths, all_states=False)
        return torch.cat([states.forward_last, states.backward_last], dim=1)

    def all(self, seen: Tensor, lengths: Tensor | None) -> list[Tensor]:
        """States of all bins.

        Args:
            seen: As for `last`.
            lengths: As for `last`.

        Returns:
            (trial, bin, unit), ``[:, k]`` after bins 0..k; and unless the encoder is causal those of the
            other direction, after bins last..k.
        """
        if self.causal:
            initial = self.initial[0].expand(len(seen), -1)
            weights = self.forwards.parts
            options = {"reset": self.reset, "clip": self.clip, "backend": self.backend}
            return [gru(seen, initial, *weights, **options)]
        states = self._read(seen, lengths, all_states=True)
        return [side for side in (states.forward_all, states.backward_all) if side is not None]

    def _read(self, seen: Tensor, lengths: Tensor | None, *, all_states: bool) -> BidirectionalStates:
        initial = self.initial[:, None].expand(-1, len(seen), -1)
        return bidirectional_gru(
            seen,
            initial[0],
            initial[1],
            self.forwards.parts,
            self.backwards.parts,
            reset=self.reset,
            clip=self.clip,
            lengths=lengths,
            all_states=all_states,
            backend=self.backend,
        )

    def recurrent_weights(self) -> list[Tensor]:
        """Recurrent matrices of its units."""
        units = [self.forwards] if self.causal else [self.forwards, self.backwards]
        return [unit.weight_state for unit in units]
