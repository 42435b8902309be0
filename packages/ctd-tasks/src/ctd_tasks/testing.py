"""Slow, obvious twins of what the package does fast: oracles of the tests, baselines of the benchmarks."""

from __future__ import annotations

import math

import numpy as np

from ctd_tasks.tasks.bit_memory import BitMemory, BitMemoryDraws
from ctd_tasks.tasks.context_integration import ContextDraws, ContextIntegration
from ctd_tasks.tasks.flip_flop import FlipFlop, FlipFlopDraws
from ctd_tasks.tasks.sine_generation import SineDraws, SineGeneration
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


def bit_memory_by_loop(task: BitMemory, draws: BitMemoryDraws) -> Trials:
    """Generate bit-memory trials by a loop over trials, bins and bits."""
    n_trials, n_time, n_lines = draws.noise.shape
    inputs_clean = np.zeros((n_trials, n_time, n_lines), np.float32)
    targets = np.zeros((n_trials, n_time, task.n_bits), np.float32)
    mask = np.zeros_like(targets)
    for trial in range(n_trials):
        memory = [-1] * task.n_bits
        for time in range(n_time):
            for bit in range(task.n_bits):
                value = draws.uniform[trial, time, bit]
                if value < task.pulse_probability / 2:
                    memory[bit], inputs_clean[trial, time, 2 * bit] = -1, 1
                elif value > 1 - task.pulse_probability / 2:
                    memory[bit], inputs_clean[trial, time, 2 * bit + 1] = 1, 1
                targets[trial, time, bit] = memory[bit]
                mask[trial, time, bit] = time >= task.ignored_bins
    return Trials(inputs_clean + np.float32(task.noise_std) * draws.noise, inputs_clean, targets, mask)


def context_integration_by_loop(task: ContextIntegration, draws: ContextDraws) -> Trials:
    """Generate trials of context-dependent integration by a loop over trials and bins."""
    n_trials, n_time, _ = draws.noise.shape
    inputs_clean = np.zeros((n_trials, n_time, 4))
    inputs, targets = np.zeros_like(inputs_clean), np.zeros((n_trials, n_time, 1))
    for trial in range(n_trials):
        context, total = draws.context[trial], 0.0
        for time in range(n_time):
            if time == draws.switch_bin[trial]:
                context = 1 - context
            inputs_clean[trial, time, :2] = draws.bias[trial]
            inputs_clean[trial, time, 2 + context] = 1
            inputs[trial, time] = inputs_clean[trial, time]
            inputs[trial, time, :2] += task.noise_std / task.bin_width_s**0.5 * draws.noise[trial, time]
            total += inputs[trial, time, context]
            targets[trial, time] = total
    return Trials(inputs, inputs_clean, targets, np.ones_like(targets))


def sine_generation_by_loop(task: SineGeneration, draws: SineDraws) -> Trials:
    """Generate sine waves by a loop over trials and bins."""
    n_trials, n_time, _ = draws.noise.shape
    inputs_clean = np.zeros((n_trials, n_time, 1))
    targets = np.zeros_like(inputs_clean)
    for trial, place in enumerate(draws.place):
        if task.n_frequencies is not None:
            # The place among equal parts of [0, 1), as a share of the way from the lowest to the highest.
            place = math.floor(place * task.n_frequencies) / max(task.n_frequencies - 1, 1)
        frequency = task.lowest_hz + place * (task.highest_hz - task.lowest_hz)
        for time in range(n_time):
            inputs_clean[trial, time] = frequency
            targets[trial, time] = math.sin(2 * math.pi * frequency * time * task.bin_width_s)
    return Trials(inputs_clean + task.noise_std * draws.noise, inputs_clean, targets, np.ones_like(targets))
