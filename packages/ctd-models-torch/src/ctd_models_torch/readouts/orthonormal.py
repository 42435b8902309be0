"""Readout: an affine map whose columns are orthonormal but for one gain, so that no direction is lost."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ctd_contract.readout import Layer
from ctd_contract.readout import Readout as PortableReadout
from ctd_models_torch.decoders.base import array
from ctd_models_torch.readouts.base import Readout


class OrthonormalReadout(Readout):
    """e^g Q x + b with Qᵀ Q = 1: injective, and equally sensitive to all directions of x.

    Q is the orthonormal factor of a free matrix (its QR decomposition with a positive diagonal, which makes
    it unique and smooth).

    Args:
        state_size: Length of the state, at most the number of neurons.
        bias: (prediction,) initial b.
        generator: Stream of the initial weights.
    """

    def __init__(self, state_size: int, bias: Tensor, *, generator: torch.Generator) -> None:
        super().__init__()
        if state_size > len(bias):
            raise ValueError(
                f"an orthonormal readout of {len(bias)} numbers takes at most as many states or factors, got "
                f"{state_size}: take fewer, or readout=linear"
            )
        self.raw_weight = nn.Parameter(torch.randn(len(bias), state_size, generator=generator))
        self.log_gain = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(bias.clone())

    @property
    def weight(self) -> Tensor:
        """(prediction, state)."""
        q, r = torch.linalg.qr(self.raw_weight)
        return self.log_gain.exp() * q * r.diagonal().sign()

    def forward(self, states: Tensor) -> Tensor:
        """See Readout."""
        return functional.linear(states, self.weight, self.bias)

    def portable(self, link: str, scale: float) -> PortableReadout:
        """See Readout."""
        return PortableReadout([Layer(array(self.weight), array(self.bias), link)], scale=scale)
