"""Fixed points of a trained 128-unit GRU from 1024 starts: Newton's method against 10,000 steps of Adam.

The network is trained here, on the 3-bit flip-flop. The Adam side is the usual search: gradient descent on
the mean of |F(x) - x|^2 / 2 over all starts at once, in float32. It always takes its 10,000 steps, so it is
timed over fewer and scaled. Both sides start from the same states. What Newton's method reports has to be
fixed: a speed of 1e-9 or more is an error.
"""

from __future__ import annotations

import json

import numpy as np
import torch
from timing import compare

from ctd_analysis.fixed_points import FixedPointSearch, find_fixed_points
from ctd_analysis.results import FixedPoints
from ctd_contract.dynamics import GRU

UNITS, BITS = 128, 3
N_STARTS = 1024
ADAM_STEPS, TIMED_STEPS = 10_000, 60
TRAINING_STEPS = 600
LEAST_RIGHT = 0.97
SLOWEST_FIXED = 1e-9


def flip_flop(n_trials: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy pulses and the bits that they set, (trial, time, bit)."""
    drawn = torch.rand(n_trials, 100, BITS, generator=generator)
    pulses = (drawn > 0.98).float() - (drawn < 0.02).float()
    pulses[:, :3] = 0.0
    bits = torch.zeros_like(pulses)
    for k in range(1, pulses.shape[1]):
        bits[:, k] = torch.where(pulses[:, k] == 0.0, bits[:, k - 1], (pulses[:, k] > 0.0).float())
    return pulses + 0.15 * torch.randn(pulses.shape, generator=generator), bits


def train() -> tuple[torch.nn.GRU, np.ndarray, float]:
    """A trained network, states that it visits, (row, state), and how often its bits are right."""
    generator = torch.Generator().manual_seed(0)
    network, readout = torch.nn.GRU(BITS, UNITS, batch_first=True), torch.nn.Linear(UNITS, BITS)
    parameters = [*network.parameters(), *readout.parameters()]
    with torch.no_grad():
        for parameter in parameters:
            parameter.uniform_(-(UNITS**-0.5), UNITS**-0.5, generator=generator)
    adam = torch.optim.Adam(parameters, lr=2e-3)
    for _ in range(TRAINING_STEPS):
        inputs, bits = flip_flop(64, generator)
        loss = (readout(network(inputs)[0]) - bits)[:, 5:].square().mean()
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()
    with torch.no_grad():
        inputs, bits = flip_flop(200, generator)
        states = network(inputs)[0]
        right = ((readout(states) > 0.5) == (bits > 0.5))[:, 5:].float().mean()
    return network, states.reshape(-1, UNITS).double().numpy(), float(right)


def portable(network: torch.nn.GRU) -> GRU:
    """The network as dynamics of the contract."""
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    return GRU(*(getattr(network, name).detach().double().numpy() for name in names))


def descend(network: torch.nn.GRU, starts: np.ndarray) -> None:
    """The timed steps of Adam on the states."""
    cell = torch.nn.GRUCell(BITS, UNITS)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in network.state_dict().items()})
    for parameter in cell.parameters():
        parameter.requires_grad_(False)
    points = torch.tensor(starts, dtype=torch.float32, requires_grad=True)
    inputs = torch.zeros(len(starts), BITS)
    adam = torch.optim.Adam([points], lr=1e-2)
    for _ in range(TIMED_STEPS):
        adam.zero_grad()
        (0.5 * (cell(inputs, points) - points).square().sum(dim=1)).mean().backward()
        adam.step()


def measure() -> dict:
    """Time both sides in turn; medians in seconds."""
    network, visited, right = train()
    if right < LEAST_RIGHT:
        raise RuntimeError(f"the network is right in {right:.1%} of bins, it has not learned its task")
    starts = visited[np.random.default_rng(0).choice(len(visited), N_STARTS, replace=False)]
    dynamics, search = portable(network), FixedPointSearch(n_starts=N_STARTS)

    def fast() -> FixedPoints:
        return find_fixed_points(dynamics, starts, bin_width_s=0.01, search=search)

    result = compare("fixed_points", fast, lambda: descend(network, starts), repeats=3)
    found = fast()
    speed = found.speed[found.is_fixed]
    if not len(speed) or speed.max() >= SLOWEST_FIXED:
        raise RuntimeError(f"{len(speed)} fixed points, largest speed {speed.max(initial=0.0):.3g}")
    scale = ADAM_STEPS / TIMED_STEPS
    return result | {
        "ratio": result["ratio"] * scale,
        "slow_s": result["slow_s"] * scale,
        "fixed_points": len(speed),
        "stable": int(found.stable.sum()),
        "slow_points": int(found.is_slow.sum()),
        "largest_speed": float(speed.max()),
        "bits_right": right,
    }


if __name__ == "__main__":
    print(json.dumps(measure()))
