"""Slow, obvious twins of what the package does fast: oracles of the tests, baselines of the benchmarks."""

from __future__ import annotations

import numpy as np

from ctd_tasks.tasks.flip_flop import FlipFlop, FlipFlopDraws
from ctd_tasks.tasks.trials import Trials


def flip_flop_by_loop(task: FlipFlop, draws: FlipFlopDraws) -> Trials:
    """Generate flip-flop trials without stimulation by a loop over trials, bins and bits."""
    inputs_clean = np.zeros(draws.uniform.shape, np.float32)
    targets, mask = np.zeros_like(inputs_clean), np.ones_like(inputs_clean)
    for trial, uniform in enumerate(draws.uniform):
        up, down = uniform > 1 - task.switch_probability, uniform < task.switch_probability
        mask[trial, : task.ignored_bins] = 0
        state = [0] * task.n_bits
        for time in range(task.n_time):
            for bit in range(task.n_bits):
                before = state[bit]
                if time >= task.quiet_bins and (up[time, bit] or down[time, bit]):
                    state[bit] = int(up[time, bit])
                    inputs_clean[trial, time, bit] = 1 if up[time, bit] else -1
                if state[bit] != before:
                    mask[trial, time + 1 : time + 1 + task.transition_blind, bit] = 0
                targets[trial, time, bit] = state[bit]
    return Trials(inputs_clean + draws.noise * np.float32(task.noise_std), inputs_clean, targets, mask)
