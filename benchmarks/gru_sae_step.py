"""A training step of the GRU autoencoder on 250 trials of 500 bins: sequence functions against modules.

Encoder of 100 units per direction over 50 neurons, decoder of 128 units with 3 known inputs, log rates of 60
neurons, Poisson. The plain side is torch's own bidirectional GRU and a GRUCell call per bin. Loss and all
gradients are first compared in float64.
"""

from __future__ import annotations

import json

import torch
from timing import agree, compare
from torch import Tensor, nn
from torch.nn import functional

from ctd_contract.torch.random import generator
from ctd_contract.torch.sequences import bidirectional_gru, gru

TRIALS, BINS, HELD_IN, NEURONS, INPUTS = 250, 500, 50, 60, 3
ENCODER, DECODER = 100, 128
THREADS = 2
REPEATS = 7


class Autoencoder(nn.Module):
    """Model, data and both ways to take a step."""

    def __init__(self, trials: int, bins: int, dtype: torch.dtype) -> None:
        super().__init__()
        stream = generator(0, "gru_sae_step")
        self.encoder = nn.GRU(HELD_IN, ENCODER, batch_first=True, bidirectional=True)
        self.initial = nn.Linear(2 * ENCODER, DECODER)
        self.decoder = nn.GRUCell(INPUTS, DECODER)
        self.readout = nn.Linear(DECODER, NEURONS)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(DECODER**-0.5), DECODER**-0.5, generator=stream)
        self.to(dtype)
        self.spikes = torch.poisson(torch.full((trials, bins, NEURONS), 0.1, dtype=dtype), generator=stream)
        self.inputs = torch.randn(trials, bins, INPUTS, generator=stream, dtype=dtype)

    def plain(self) -> Tensor:
        _, last = self.encoder(self.spikes[..., :HELD_IN])
        state, states = self.initial(torch.cat([last[0], last[1]], dim=1)), []
        for k in range(self.inputs.shape[1]):
            state = self.decoder(self.inputs[:, k], state)
            states.append(state)
        return torch.stack(states, dim=1)

    def fast(self) -> Tensor:
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        directions = (tuple(getattr(self.encoder, name + end) for name in names) for end in ("", "_reverse"))
        zeros = self.spikes.new_zeros(len(self.spikes), ENCODER)
        last = bidirectional_gru(self.spikes[..., :HELD_IN], zeros, zeros, *directions)
        state = self.initial(torch.cat([last.forward_last, last.backward_last], dim=1))
        cell = self.decoder
        return gru(self.inputs, state, cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)

    def step(self, states) -> dict[str, Tensor]:
        self.zero_grad()
        loss = functional.poisson_nll_loss(self.readout(states()), self.spikes)
        loss.backward()
        return {"loss": loss.detach(), **{name: p.grad.clone() for name, p in self.named_parameters()}}


def measure() -> dict:
    """Compare both sides, then time them in turn; medians in seconds."""
    torch.set_num_threads(THREADS)
    small = Autoencoder(50, 60, torch.float64)
    difference = agree(small.step(small.fast), small.step(small.plain))
    model = Autoencoder(TRIALS, BINS, torch.float32)
    result = compare(
        "gru_sae_step", lambda: model.step(model.fast), lambda: model.step(model.plain), repeats=REPEATS
    )
    return result | {"threads": THREADS, "difference_float64": difference}


if __name__ == "__main__":
    print(json.dumps(measure()))
