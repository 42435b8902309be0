"""A training step of the noisy GRU of 128 units on 256 trials of 500 bins: sequence function against cells.

The plain side calls torch's GRUCell and the readout for every bin and adds the noise. Both sides get the same
noise, drawn before, and share the squared error. Loss and all gradients are first compared in float64.
"""

from __future__ import annotations

import json

import torch
from timing import agree, compare
from torch import Tensor, nn

from ctd_contract.torch.random import generator
from ctd_contract.torch.sequences import gru

TRIALS, BINS, UNITS, INPUTS, OUTPUTS = 256, 500, 128, 3, 3
NOISE_STD = 0.05
THREADS = 2
REPEATS = 9


class Network(nn.Module):
    """Network, data and both ways to take a step."""

    def __init__(self, trials: int, bins: int, dtype: torch.dtype) -> None:
        super().__init__()
        stream = generator(0, "noisy_gru_step")
        self.cell, self.readout = nn.GRUCell(INPUTS, UNITS), nn.Linear(UNITS, OUTPUTS)
        self.initial = nn.Parameter(torch.zeros(UNITS))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(UNITS**-0.5), UNITS**-0.5, generator=stream)
        self.to(dtype)
        shape = (trials, bins)
        self.inputs, self.targets, self.noise = (
            torch.randn(*shape, size, generator=stream, dtype=dtype) for size in (INPUTS, OUTPUTS, UNITS)
        )
        self.noise *= NOISE_STD

    def plain(self) -> Tensor:
        state, outputs = self.initial.expand(len(self.inputs), -1), []
        for k in range(self.inputs.shape[1]):
            state = self.cell(self.inputs[:, k], state) + self.noise[:, k]
            outputs.append(self.readout(state))
        return torch.stack(outputs, dim=1)

    def fast(self) -> Tensor:
        cell, initial = self.cell, self.initial.expand(len(self.inputs), -1)
        weights = cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh
        return self.readout(gru(self.inputs, initial, *weights, noise=self.noise))

    def step(self, outputs) -> dict[str, Tensor]:
        self.zero_grad()
        loss = (outputs() - self.targets).square().mean()
        loss.backward()
        return {"loss": loss.detach(), **{name: p.grad.clone() for name, p in self.named_parameters()}}


def measure() -> dict:
    """Compare both sides, then time them in turn; medians in seconds."""
    torch.set_num_threads(THREADS)
    small = Network(64, 100, torch.float64)
    difference = agree(small.step(small.fast), small.step(small.plain))
    network = Network(TRIALS, BINS, torch.float32)
    result = compare(
        "noisy_gru_step",
        lambda: network.step(network.fast),
        lambda: network.step(network.plain),
        repeats=REPEATS,
    )
    return result | {"threads": THREADS, "difference_float64": difference}


if __name__ == "__main__":
    print(json.dumps(measure()))
