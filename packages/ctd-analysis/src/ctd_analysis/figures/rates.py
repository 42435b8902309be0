"""Rates and spikes of one example trial."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ctd_analysis.figures.columns import typical_labels
from ctd_analysis.figures.palette import TRUTH_LIGHT, model_colors
from ctd_analysis.figures.style import MUTED, hide_unused, literal, new_figure, styled
from ctd_analysis.results import AnalysisResult, ExampleTrials


def telling_neurons(examples: ExampleTrials, count: int = 6) -> list[int]:
    """Positions of the neurons whose rates vary most, half of them held out where there are any."""
    rates = examples.true_rates
    if rates is None:
        rates = next(iter(examples.rates.values()), None)
    variation = np.nanstd(examples.spikes if rates is None else rates, axis=(0, 1))
    order = np.argsort(-variation, kind="stable")
    held_out = [int(n) for n in order if examples.held_out[n]][: count // 2]
    held_in = [int(n) for n in order if not examples.held_out[n]][: count - len(held_out)]
    return held_in + held_out


def rate_figure(
    result: AnalysisResult,
    trial: int = 0,
    neurons: Sequence[int] | None = None,
    labels: Sequence[str] | None = None,
) -> Figure:
    """Draw true and inferred rates over the spikes of one trial, a panel per neuron.

    Args:
        result: The analysis.
        trial: Position among the example trials.
        neurons: Positions of the neurons; the ones that vary most by default.
        labels: Models to be drawn; one of each name by default.
    """
    examples = result.examples
    neurons = telling_neurons(examples) if neurons is None else list(neurons)
    labels = typical_labels(result) if labels is None else list(labels)
    across = 2 if len(neurons) > 1 else 1
    down = -(-len(neurons) // across)
    with styled():
        figure = new_figure(4.3 * across, 1.35 * down + 0.5)
        axes = list(figure.subplots(down, across, sharex=True, squeeze=False).flat)
        for axis, neuron in zip(axes, neurons, strict=False):
            _panel(axis, result, trial, neuron, labels)
        for axis in axes[max(0, len(neurons) - across) : len(neurons)]:
            axis.set_xlabel("time (s)")
        hide_unused(axes, len(neurons))
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=min(6, len(names)))
    return figure


def _panel(axis: Axes, result: AnalysisResult, trial: int, neuron: int, labels: Sequence[str]) -> None:
    examples, colors = result.examples, model_colors(result)
    length = int(examples.lengths[trial])
    time = examples.time_s[:length]
    shown = [label for label in labels if label in examples.rates]
    if examples.true_rates is not None:
        rates = examples.true_rates[trial, :length, neuron]
        axis.plot(time, rates, color=TRUTH_LIGHT, linewidth=2.4, alpha=0.75, label="truth")
    for label in shown:
        axis.plot(
            time, examples.rates[label][trial, :length, neuron], color=colors[label], label=literal(label)
        )
    counts = np.asarray(examples.spikes[trial, :length, neuron])
    spiking = np.flatnonzero(counts > 0)
    strip = axis.inset_axes((0.0, -0.13, 1.0, 0.11), sharex=axis)
    strip.vlines(
        time[spiking] + result.bin_width_s / 2, 0.0, counts[spiking], color=TRUTH_LIGHT, linewidth=0.8
    )
    strip.set_ylim(0.0, max(1.0, float(np.max(counts, initial=0))))
    strip.set_axis_off()
    axis.tick_params(axis="x", pad=9)
    axis.set_ylim(bottom=0.0)
    kind = "held out" if examples.held_out[neuron] else "held in"
    axis.set_title(f"neuron {examples.neuron[neuron]}, {kind}", loc="left", color=MUTED)
    axis.set_ylabel("spikes/s")
