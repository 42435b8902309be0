"""Readout: an invertible residual flow (FINR: Versteeg, Sedler, McCart & Pandarinath 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ctd_contract.readout import Readout as PortableReadout
from ctd_models_torch.initial_weights import uniform
from ctd_models_torch.readouts.base import Readout

# Largest Lipschitz constant of a step's change. Below 1 every step is a bijection (Behrmann et al. 2019), and
# its inverse, the limit of x <- y - change(x), gains a digit every three rounds at this one.
CONTRACTION = 0.5


class FlowReadout(Readout):
    """The state, padded with zeros to one dimension per neuron, carried along a learned flow.

    x <- x + δ MLP(x), several times, then the bias. The weights' spectral norms are bounded so that each step
    can be inverted exactly; a reverse Euler step, x <- x - δ MLP(x), would only be its first approximation.

    Args:
        state_size: Length of the state, at most the number of neurons.
        bias: (neuron,) initial bias: the log mean count of each neuron.
        hidden_size: Units of the MLP's hidden layer.
        steps: Number of steps, which share the MLP.
        delta: δ.
        generator: Stream of the initial weights.
    """

    def __init__(
        self,
        state_size: int,
        bias: Tensor,
        *,
        hidden_size: int = 128,
        steps: int = 20,
        delta: float = 0.1,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        neurons = len(bias)
        if state_size > neurons:
            raise ValueError(
                "a flow readout pads the state to one dimension per neuron: "
                f"expected at most {neurons} states, got {state_size}; "
                "choose a smaller model.size or readout=linear"
            )
        self.state_size, self.steps, self.delta = state_size, steps, delta
        self.weight_in = nn.Parameter(uniform((hidden_size, neurons), neurons, generator))
        self.bias_in = nn.Parameter(torch.zeros(hidden_size))
        self.weight_out = nn.Parameter(uniform((neurons, hidden_size), hidden_size, generator))
        self.bias_out = nn.Parameter(torch.zeros(neurons))
        self.bias = nn.Parameter(bias.clone())

    def forward(self, states: Tensor) -> Tensor:
        """See Readout."""
        values = functional.pad(states, (0, len(self.bias) - self.state_size))
        scale = self._scale()
        for _ in range(self.steps):
            values = values + scale * self._mlp(values)
        return values + self.bias

    @torch.no_grad()
    def inverse(self, prediction: Tensor, *, tolerance: float = 1e-6) -> tuple[Tensor, Tensor]:
        """Find the states of a prediction.

        Args:
            prediction: (..., neuron), log counts or means.
            tolerance: Largest change of the last fixed-point round, relative to the values' own size.

        Returns:
            States (..., state), and what is left in the padded dimensions (..., neuron - state): zero for a
            prediction that the flow can make, and else how far it lies off the manifold.

        Raises:
            ArithmeticError: A step did not converge in 200 rounds (the values aren't finite).
        """
        scale = self._scale()
        values = prediction - self.bias
        for _ in range(self.steps):
            values = self._invert_step(values, scale, tolerance)
        return values[..., : self.state_size], values[..., self.state_size :]

    def _invert_step(self, target: Tensor, scale: Tensor, tolerance: float) -> Tensor:
        values = target
        limit = tolerance * (1.0 + target.abs().max())
        for _ in range(200):
            updated = target - scale * self._mlp(values)
            if (updated - values).abs().max() <= limit:
                return updated
            values = updated
        raise ArithmeticError("the inverse of a flow step did not converge: the prediction isn't finite")

    def _mlp(self, values: Tensor) -> Tensor:
        hidden = torch.tanh(functional.linear(values, self.weight_in, self.bias_in))
        return functional.linear(hidden, self.weight_out, self.bias_out)

    def _scale(self) -> Tensor:
        """δ, lowered where the MLP's Lipschitz bound (the product of the spectral norms) demands it."""
        norms = [torch.linalg.matrix_norm(w, ord=2) for w in (self.weight_in, self.weight_out)]
        bound = self.delta * norms[0] * norms[1]
        return self.delta * torch.clamp(CONTRACTION / bound, max=1.0)

    def portable(self, link: str, scale: float) -> PortableReadout:  # noqa: ARG002
        """A flow is no chain of layers: opaque."""
        return PortableReadout.opaque()
