"""LFADS's decoder as compiled loops over the bins of some trials, forwards and backwards.

Both units are those of ``ctd_contract.torch.compiled.gru_before``, with the factors as late inputs of
the controller and the inferred inputs as those of the generator. An array without bins stands for one that is
not there.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ctd_contract.torch.compiled import gru_before
from ctd_contract.torch.compiled.gru_before import Numbers
from ctd_contract.torch.compiled.jit import compiled
from ctd_contract.torch.compiled.products import multiply


class UnitArrays(NamedTuple):
    """Weights of a unit or, to be added to, their gradients.

    Attributes:
        gates: (state + late, 2 state).
        new: (late + state, state).
        early: (early + 1, 3 state), of the inputs that are known beforehand; the last row is the bias.
    """

    gates: Numbers
    new: Numbers
    early: Numbers


class MapArrays(NamedTuple):
    """Weights of the linear maps or, to be added to, their gradients.

    Attributes:
        control: (2 control, controller).
        control_bias: (2 control,).
        factor: (factor, generator).
    """

    control: Numbers
    control_bias: Numbers
    factor: Numbers


class Given(NamedTuple):
    """What some trials are decoded from, as ``decode`` takes it; or gradients of the first two."""

    encoded: Numbers
    external: Numbers
    noise: Numbers
    controller_mask: Numbers
    factor_mask: Numbers


class Bins(NamedTuple):
    """What the way back needs of the way forward, time-major; where there is none, two bins take turns.

    Attributes:
        controller: (bins + 1, trials, row), the first one begins with the initial state.
        generator: (bins + 1, trials, row), likewise.
        statistics: (bins + 1, trials, 2 control), means and log-variances of the controls.
    """

    controller: Numbers
    generator: Numbers
    statistics: Numbers


class Scratch(NamedTuple):
    """Room for one bin: what the controller reads, masked states, their gradients, and factors."""

    encoded: Numbers
    states: Numbers
    of_states: Numbers
    factors: Numbers


class Results(NamedTuple):
    """Outputs, or their gradients, (trials, time, ...) in the order of Decoded."""

    states: Numbers
    factors: Numbers
    control_mean: Numbers
    control_log_variance: Numbers
    controls: Numbers
    controller_states: Numbers


class Grads(NamedTuple):
    """Gradients that go back from bin to bin, those of what opens the gates (both as for
    ``gru_before.backward``), and (trials, 2 control) of the controls' statistics.
    """

    controller: Numbers
    generator: Numbers
    controller_deltas: Numbers
    generator_deltas: Numbers
    statistics: Numbers


@compiled
def run_forward(
    given: Given, bins: Bins, scratch: Scratch, controller: UnitArrays, generator: UnitArrays,
    maps: MapArrays, clip: float, results: Results,
) -> None:  # fmt: skip
    """Advance through all bins and write the results."""
    n_time, held = results.states.shape[1], len(bins.generator)
    size, seen = generator.new.shape[1], generator.gates.shape[0] + generator.new.shape[1]
    reading = controller.new.shape[1]
    columns = controller.early.shape[0] - 1
    external = given.external.shape[2] > 0
    _make_factors(bins, 0, given, 0, scratch, maps)
    _hand_on(scratch.factors, given.controller_mask, 0, bins.controller, 0, reading)
    for time in range(n_time):
        at, after = time % held, (time + 1) % held
        if columns > 0:
            _read(given, time, scratch.encoded)
            drive = bins.controller[at, :, controller.gates.shape[0] + reading :]
            multiply(drive, scratch.encoded, controller.early[:-1], False, False, False)
        gru_before.forward(
            bins.controller, at, after, controller.gates, controller.new, controller.early[-1], clip,
            columns > 0, results.controller_states, time,
        )  # fmt: skip
        multiply(bins.statistics[at], bins.controller[after, :, :reading], maps.control, False, True, False)
        _draw(bins, at, maps.control_bias, given.noise, time, size, results)
        if external:
            multiply(
                bins.generator[at, :, seen:], given.external[:, time], generator.early[:-1],
                False, False, False,
            )  # fmt: skip
        gru_before.forward(
            bins.generator, at, after, generator.gates, generator.new, generator.early[-1], clip,
            external, results.states, time,
        )  # fmt: skip
        _make_factors(bins, after, given, time + 1, scratch, maps)
        for i in range(len(scratch.factors)):
            results.factors[i, time] = scratch.factors[i]
        if time + 1 < n_time:
            _hand_on(scratch.factors, given.controller_mask, time + 1, bins.controller, after, reading)


@compiled
def run_backward(
    given: Given, bins: Bins, scratch: Scratch, controller: UnitArrays, generator: UnitArrays,
    maps: MapArrays, clip: float, arriving: Results, grads: Grads,
    controller_sums: UnitArrays, generator_sums: UnitArrays, map_sums: MapArrays, found: Given,
) -> None:  # fmt: skip
    """Go back through all bins.

    Args:
        given: As forward.
        bins: As ``run_forward`` left them.
        scratch: As forward.
        controller: As forward.
        generator: As forward.
        maps: As forward.
        clip: As forward.
        arriving: Gradients of the results.
        grads: Begin as zeros and end with those of the initial states.
        controller_sums: To be added to.
        generator_sums: To be added to.
        map_sums: To be added to.
        found: To be written with the gradients of encoded data and external inputs.
    """
    n_time = len(bins.generator) - 1
    size, reading = generator.new.shape[1], controller.new.shape[1]
    ones = np.ones((1, len(scratch.factors)), scratch.factors.dtype)
    for time in range(n_time - 1, -1, -1):
        _return_factors(scratch.factors, grads.controller, reading, given.controller_mask, time + 1, n_time)
        _add(scratch.factors, arriving.factors, time)
        _add(grads.generator, arriving.states, time)
        _through_factors(bins, given, time + 1, scratch, maps, grads.generator, map_sums)
        gru_before.backward(
            bins.generator, time, generator.gates, generator.new, clip, grads.generator,
            grads.generator_deltas, ones, generator_sums.gates, generator_sums.new, generator_sums.early[-1:],
        )  # fmt: skip
        if given.external.shape[2] > 0:
            multiply(
                generator_sums.early[:-1], given.external[:, time], grads.generator_deltas, True, False, True
            )
        if found.external.shape[1] > 0:
            multiply(
                found.external[:, time], grads.generator_deltas, generator.early[:-1], False, True, False
            )
        _through_controls(bins, time, size, arriving, grads.generator, grads.statistics)
        _add(grads.controller, arriving.controller_states, time)
        of_controls, state = grads.statistics, bins.controller[time + 1, :, :reading]
        multiply(grads.controller[:, :reading], of_controls, maps.control, False, False, True)
        multiply(map_sums.control, of_controls, state, True, False, True)
        multiply(map_sums.control_bias.reshape(1, -1), ones, of_controls, False, False, True)
        gru_before.backward(
            bins.controller, time, controller.gates, controller.new, clip, grads.controller,
            grads.controller_deltas, ones,
            controller_sums.gates, controller_sums.new, controller_sums.early[-1:],
        )  # fmt: skip
        if controller.early.shape[0] > 1:
            _read(given, time, scratch.encoded)
            multiply(controller_sums.early[:-1], scratch.encoded, grads.controller_deltas, True, False, True)
        if found.encoded.shape[1] > 0:
            multiply(scratch.encoded, grads.controller_deltas, controller.early[:-1], False, True, False)
            _write_encoded(scratch.encoded, given.controller_mask, time, found.encoded)
    _return_factors(scratch.factors, grads.controller, reading, given.controller_mask, 0, n_time)
    _through_factors(bins, given, 0, scratch, maps, grads.generator, map_sums)


@compiled
def _mask(source: Numbers, mask: Numbers, trial: int, time: int, column: int, target: Numbers) -> None:
    """Write a row, times the mask (trial, time, ...) from a column on; as it is where there is no mask."""
    if mask.shape[1] > 0:
        kept = mask[trial, time, column:]
        for j in range(len(target)):
            target[j] = source[j] * kept[j]
    else:
        for j in range(len(target)):
            target[j] = source[j]


@compiled
def _read(given: Given, time: int, into: Numbers) -> None:
    """Write what the controller reads of the data in a bin."""
    for i in range(len(into)):
        _mask(given.encoded[i, time], given.controller_mask, i, time, 0, into[i])


@compiled
def _write_encoded(grad: Numbers, mask: Numbers, time: int, found: Numbers) -> None:
    """Write the gradient of the data that the controller read in a bin."""
    for i in range(len(grad)):
        _mask(grad[i], mask, i, time, 0, found[i, time])


@compiled
def _mask_states(rows: Numbers, at: int, mask: Numbers, time: int, into: Numbers) -> None:
    """Write the states that factors are made of; ``time`` counts from the initial one."""
    for i in range(len(into)):
        _mask(rows[at, i], mask, i, time, 0, into[i])


@compiled
def _make_factors(bins: Bins, at: int, given: Given, time: int, scratch: Scratch, maps: MapArrays) -> None:
    """Find the factors of the state that a bin begins with."""
    _mask_states(bins.generator, at, given.factor_mask, time, scratch.states)
    multiply(scratch.factors, scratch.states, maps.factor, False, True, False)


@compiled
def _hand_on(factors: Numbers, mask: Numbers, time: int, rows: Numbers, at: int, size: int) -> None:
    """Give factors to the controller's bin."""
    count = factors.shape[1]
    for i in range(len(factors)):
        _mask(factors[i], mask, i, time, mask.shape[2] - count, rows[at, i, size : size + count])


@compiled
def _draw(bins: Bins, at: int, bias: Numbers, noise: Numbers, time: int, size: int, results: Results) -> None:
    """Add the bias to the statistics of the controls, and draw the controls."""
    half, count = bias.dtype.type(0.5), len(bias) // 2
    for i in range(bins.statistics.shape[1]):
        both, controls = bins.statistics[at, i], bins.generator[at, i, size : size + count]
        for j in range(count):
            mean = both[j] + bias[j]
            log_variance = both[count + j] + bias[count + j]
            both[j], both[count + j], controls[j] = mean, log_variance, mean
            if noise.shape[1] > 0:
                controls[j] = mean + bias.dtype.type(math.exp(half * log_variance)) * noise[i, time, j]
            results.control_mean[i, time, j] = mean
            results.control_log_variance[i, time, j] = log_variance
            results.controls[i, time, j] = controls[j]


@compiled
def _add(grad: Numbers, arriving: Numbers, time: int) -> None:
    """Add a result's gradient in a bin, if there is one."""
    if arriving.shape[1] > 0:
        for i in range(len(grad)):
            source, target = arriving[i, time], grad[i]
            for j in range(len(source)):
                target[j] += source[j]


@compiled
def _return_factors(
    factors: Numbers, grad: Numbers, size: int, mask: Numbers, time: int, n_time: int
) -> None:
    """Write the gradient of factors that comes back from the controller of the bin they go to."""
    count = factors.shape[1]
    if time >= n_time:
        factors[...] = 0
        return
    for i in range(len(factors)):
        _mask(grad[i, size : size + count], mask, i, time, mask.shape[2] - count, factors[i])


@compiled
def _through_factors(
    bins: Bins, given: Given, time: int, scratch: Scratch, maps: MapArrays, grad: Numbers, sums: MapArrays
) -> None:
    """Add what comes back from factors to the gradients of their state and of their weights."""
    multiply(scratch.of_states, scratch.factors, maps.factor, False, False, False)
    _mask_states(bins.generator, time, given.factor_mask, time, scratch.states)
    multiply(sums.factor, scratch.factors, scratch.states, True, False, True)
    for i in range(len(grad)):
        _mask(scratch.of_states[i], given.factor_mask, i, time, 0, scratch.of_states[i])
        for j in range(scratch.of_states.shape[1]):
            grad[i, j] += scratch.of_states[i, j]


@compiled
def _through_controls(
    bins: Bins, time: int, size: int, arriving: Results, grad: Numbers, into: Numbers
) -> None:
    """Write the gradients of the controls' statistics.

    u = mu + exp(log v / 2) noise, so du / d log v is half of u - mu.
    """
    count, half = bins.statistics.shape[2] // 2, grad.dtype.type(0.5)
    for i in range(len(grad)):
        both, controls = bins.statistics[time, i], bins.generator[time, i, size : size + count]
        for j in range(count):
            of_control = grad[i, size + j]
            if arriving.controls.shape[1] > 0:
                of_control += arriving.controls[i, time, j]
            of_mean, of_spread = of_control, of_control * half * (controls[j] - both[j])
            if arriving.control_mean.shape[1] > 0:
                of_mean += arriving.control_mean[i, time, j]
            if arriving.control_log_variance.shape[1] > 0:
                of_spread += arriving.control_log_variance[i, time, j]
            into[i, j], into[i, count + j] = of_mean, of_spread
