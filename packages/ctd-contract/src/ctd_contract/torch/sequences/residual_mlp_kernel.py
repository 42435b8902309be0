"""Discrete neural ODEs as a kernel of ``scan``."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ctd_contract.torch.sequences.kernel import Kernel, steps_back, tanh_


class ResidualMLPKernel(Kernel):
    """x' = x + delta MLP([x, u]); a bin keeps the activations of the hidden layers.

    Deltas are those of the hidden layers and, behind them, of the output.
    """

    def __init__(self, *parameters: Tensor, state_size: int, delta: float, activation: str) -> None:
        count = len(parameters) // 2
        self.weights, self.biases = parameters[:count], parameters[count:]
        self.state_size, self.activation = state_size, activation
        self.hidden = [len(bias) for bias in self.biases[:-1]]
        self.gates = sum(self.hidden)
        self.deltas = self.gates + state_size
        self.weight_first, self.weight_input = self.weights[0].split(
            [state_size, self.weights[0].shape[1] - state_size], dim=1
        )
        self.weight_driven = torch.cat([self.weight_input, self.biases[0][:, None]], dim=1).t().contiguous()
        self.weight_last, self.bias_last = delta * self.weights[-1], delta * self.biases[-1]
        self.delta = delta

    def drive(self, gates: Tensor, driven: Tensor) -> None:
        """The inputs' part of the first layer."""
        torch.mm(driven, self.weight_driven, out=gates[:, : self.hidden[0]])

    def forward(self, gates: Tensor, states: Tensor, noise: Sequence[Tensor] | None, first: bool) -> None:
        """One product per layer."""
        del first
        layers = [layer.unbind(0) for layer in gates.split(self.hidden, dim=-1)]
        for step in range(len(gates)):
            values = layers[0][step].addmm_(states[step], self.weight_first.t())
            self.activate(values)
            for layer, weight, bias in zip(layers[1:], self.weights[1:-1], self.biases[1:-1], strict=True):
                values = torch.addmm(bias, values, weight.t(), out=layer[step])
                self.activate(values)
            new = torch.addmm(states[step], values, self.weight_last.t(), out=states[step + 1])
            new.add_(self.bias_last)
            if noise is not None:
                new.add_(noise[step])

    def activate(self, values: Tensor) -> None:
        """Apply the nonlinearity in place."""
        if self.activation == "tanh":
            tanh_(values)
        elif self.activation == "relu":
            values.relu_()
        else:
            torch.nn.functional.softplus(values, out=values)  # type: ignore[call-arg]

    def slopes(self, gates: Tensor, target: Tensor) -> None:
        """Write the derivative of the nonlinearity, from its value, into ``target``."""
        if self.activation == "tanh":
            torch.mul(gates, gates, out=target).neg_().add_(1.0)
        elif self.activation == "relu":
            torch.gt(gates, 0.0, out=target)
        else:
            # Above 20 torch's softplus is the identity.
            torch.neg(gates, out=target).expm1_().neg_().masked_fill_(gates > 20.0, 1.0)

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
        """Slopes for all bins first; then one product per layer and bin."""
        del states, first
        self.slopes(gates, deltas[..., : self.gates])
        layers = [layer.unbind(0) for layer in deltas.split([*self.hidden, self.state_size], dim=-1)]
        weights = [*self.weights[1:-1], self.weight_last]
        for step in steps_back(len(gates), grad, arriving, noise_grads):
            layers[-1][step].copy_(grad)
            values = grad
            for layer, weight in zip(layers[-2::-1], weights[::-1], strict=True):
                values = layer[step].mul_(values @ weight)
            grad.addmm_(values, self.weight_first)

    def sums(self) -> list[Tensor]:
        """Transposed gradients of what is driven, of every layer's weight and of the further biases."""
        sizes = [self.state_size, *self.hidden, self.state_size]
        weights = [self.weights[0].new_zeros(shape) for shape in pairwise(sizes)]
        biases = [torch.zeros_like(bias) for bias in self.biases[1:]]
        return [torch.zeros_like(self.weight_driven), *weights, *biases]

    def collect(
        self, sums: Sequence[Tensor], deltas: Tensor, gates: Tensor, states: Tensor, driven: Tensor
    ) -> None:
        """One product per layer."""
        count = len(self.weights)
        below = [states, *gates.split(self.hidden, dim=-1)]
        above = deltas.split([*self.hidden, self.state_size], dim=-1)
        sums[0].addmm_(driven.t(), above[0])
        for total, low, high in zip(sums[1 : count + 1], below, above, strict=True):
            total.addmm_(low.t(), high)
        for total, high in zip(sums[count + 1 :], above[1:], strict=True):
            total.add_(high.sum(0))

    def input_grad(self, deltas: Tensor) -> Tensor:
        """Through the first layer."""
        return deltas[:, : self.hidden[0]] @ self.weight_input

    def parameter_grads(self, sums: Sequence[Tensor]) -> list[Tensor | None]:
        """In the order of the call: all weights, then all biases."""
        count = len(self.weights)
        weights = [total.t() for total in sums[1 : count + 1]]
        weights[0] = torch.cat([weights[0], sums[0][:-1].t()], dim=1)
        weights[-1] = self.delta * weights[-1]
        biases = [sums[0][-1], *sums[count + 1 :]]
        biases[-1] = self.delta * biases[-1]
        return [*(weight.contiguous() for weight in weights), *biases]
