"""Vanilla, leaky and linear recurrent networks as a kernel of ``scan``."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ctd_contract.torch.sequences.kernel import Kernel, steps_back, tanh_


class RNNKernel(Kernel):
    """x' = (1-alpha) x + alpha phi(W x + U u + b); a bin keeps phi."""

    def __init__(
        self,
        weight_input: Tensor | None,
        weight_state: Tensor,
        bias: Tensor | None,
        *,
        alpha: float,
        nonlinearity: str,
        noise_inside: bool,
    ) -> None:
        self.gates = self.deltas = self.size = weight_state.shape[0]
        self.alpha, self.nonlinearity, self.noise_inside = alpha, nonlinearity, noise_inside
        self.has_inputs, self.has_bias = weight_input is not None, bias is not None
        self.weight_input = weight_state.new_zeros(self.size, 0) if weight_input is None else weight_input
        column = weight_state.new_zeros(self.size) if bias is None else bias
        self.weight_driven = torch.cat([self.weight_input, column[:, None]], dim=1).t().contiguous()
        self.weight, self.weight_t = weight_state, weight_state.t().contiguous()

    def drive(self, gates: Tensor, driven: Tensor) -> None:
        """U u + b."""
        torch.mm(driven, self.weight_driven, out=gates)

    def forward(self, gates: Tensor, states: Tensor, noise: Sequence[Tensor] | None, first: bool) -> None:
        """One product and at most four passes per bin."""
        del first
        steps = zip(gates.unbind(0), states[:-1].unbind(0), states[1:].unbind(0), strict=True)
        for step, (drive, state, new) in enumerate(steps):
            drive.addmm_(state, self.weight_t)
            if noise is not None and self.noise_inside:
                drive.add_(noise[step])
            if self.nonlinearity == "tanh":
                tanh_(drive)
            elif self.nonlinearity == "relu":
                drive.relu_()
            if self.alpha == 1.0:
                new.copy_(drive)
            else:
                torch.lerp(state, drive, self.alpha, out=new)
            if noise is not None and not self.noise_inside:
                new.add_(noise[step])

    def backward(
        self,
        gates: Tensor,
        states: Tensor,
        deltas: Tensor,
        grad: Tensor,
        arriving: Sequence[Tensor] | None,
        noise_grads: Sequence[Tensor] | None,
        first: bool,
    ) -> None:
        """The slopes, alpha phi', for all bins first."""
        del states, first
        if self.nonlinearity == "tanh":
            torch.mul(gates, gates, out=deltas).sub_(1.0).mul_(-self.alpha)
        elif self.nonlinearity == "relu":
            torch.gt(gates, 0.0, out=deltas).mul_(self.alpha)
        else:
            deltas.fill_(self.alpha)
        outside = None if self.noise_inside else noise_grads
        for step in steps_back(len(gates), grad, arriving, outside):
            deltas[step].mul_(grad)
            if noise_grads is not None and self.noise_inside:
                noise_grads[step].copy_(deltas[step])
            torch.addmm(grad, deltas[step], self.weight, beta=1.0 - self.alpha, out=grad)

    def sums(self) -> list[Tensor]:
        """Transposed gradients of the weights of the state, and of the inputs with the bias."""
        return [torch.zeros_like(self.weight_t), torch.zeros_like(self.weight_driven)]

    def collect(
        self, sums: Sequence[Tensor], deltas: Tensor, gates: Tensor, states: Tensor, driven: Tensor
    ) -> None:
        """One product for each of them."""
        del gates
        sums[0].addmm_(states.t(), deltas)
        sums[1].addmm_(driven.t(), deltas)

    def input_grad(self, deltas: Tensor) -> Tensor:
        """Through U."""
        return deltas @ self.weight_input

    def parameter_grads(self, sums: Sequence[Tensor]) -> list[Tensor | None]:
        """In torch's orientation."""
        weight_input = sums[1][:-1].t().contiguous() if self.has_inputs else None
        return [weight_input, sums[0].t().contiguous(), sums[1][-1].clone() if self.has_bias else None]
