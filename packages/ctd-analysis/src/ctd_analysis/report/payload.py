"""What the page's plots are drawn from: plain numbers and packed arrays.

Text stays plain here; the page's script escapes it where plotly would read markup.
"""

from __future__ import annotations

import base64
import json

import numpy as np
from numpy.typing import ArrayLike

from ctd_analysis.figures.columns import cell, model_names, score_columns, typical_labels
from ctd_analysis.figures.eigenvalues import leading_pair
from ctd_analysis.figures.palette import LIGHT, color_index, dash
from ctd_analysis.figures.points import KINDS, kind_of
from ctd_analysis.figures.rates import telling_neurons
from ctd_analysis.report.html import Markup
from ctd_analysis.results import TRUTH, AnalysisResult, ExampleTrials, FixedPoints, StateSpace

NEURONS_PER_GROUP = 6
MAX_VALUES = 1_000_000
"""Rates in a page, over all trials, neurons and models, 2 bytes each. Further trials are left out."""


def as_json(payload: dict[str, object]) -> Markup:
    """JSON that no text in it can end the script element of."""
    written = json.dumps(payload, allow_nan=False, separators=(",", ":"))
    return Markup(written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def packed(array: ArrayLike) -> dict[str, object]:
    """An array as base64 of little-endian 32-bit floats."""
    return _packed(np.ascontiguousarray(array, dtype="<f4"), 1.0)


def coarsely_packed(array: ArrayLike) -> dict[str, object]:
    """An array of numbers >= 0 as base64 of 16-bit multiples of a unit: half the size, exact to the eye."""
    values = np.nan_to_num(np.asarray(array, np.float64), posinf=0.0)
    unit = float(np.max(values, initial=0.0)) / 65535.0 or 1.0
    return _packed(np.rint(np.maximum(values, 0.0) / unit).astype("<u2"), unit)


def _packed(values: np.ndarray, unit: float) -> dict[str, object]:
    data = base64.b64encode(values.tobytes()).decode("ascii")
    return {"dtype": values.dtype.str, "shape": values.shape, "unit": unit, "data": data}


def numbers(array: ArrayLike, digits: int = 6) -> list[float | None]:
    """A flat list of numbers of a few digits, None where one is not finite."""
    values = np.asarray(array, np.float64).ravel()
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values]


def make_payload(result: AnalysisResult) -> dict[str, object]:
    """Everything that the page's script needs."""
    index, shown = color_index(result), set(typical_labels(result))
    return {
        "models": [
            {
                "label": model.label,
                "name": model.name,
                "color": index[model.name] % len(LIGHT),
                "dash": dash(index[model.name]),
                "shown": model.label in shown,
            }
            for model in result.models
        ],
        "split": result.split,
        "binWidth": result.bin_width_s,
        "kinds": [{"name": kind.name, "symbol": kind.symbol} for kind in KINDS],
        "scores": _scores(result),
        "examples": _examples(result.examples),
        "spaces": {source: _space(space) for source, space in result.spaces.items()},
        "matches": {
            label: {"pairs": matching.pairs.tolist(), "distance": numbers(matching.distance)}
            for label, matching in result.matches.items()
        },
        "eigenvalues": {m.label: found for m in result.models if (found := _eigenvalues(result, m.label))},
    }


def _scores(result: AnalysisResult) -> list[dict[str, object]]:
    panels = []
    for column in score_columns(result):
        cells = {name: found for name in model_names(result) if (found := cell(result, name, column))}
        entries = [
            {
                "name": name,
                "value": found.value,
                "low": found.low,
                "high": found.high,
                "seeds": list(found.seeds) if found.sd is not None else [],
            }
            for name, found in cells.items()
        ]
        panels.append({"title": column.heading, "entries": entries})
    return panels


def _examples(examples: ExampleTrials) -> dict[str, object]:
    sources = dict(examples.rates)
    if examples.true_rates is not None:
        sources[TRUTH] = examples.true_rates
    n_time, n_neurons = len(examples.time_s), len(examples.neuron)
    affordable = MAX_VALUES // max(1, n_time * n_neurons * (len(sources) + 1))
    trials = slice(0, max(1, min(affordable, len(examples.trial))))
    return {
        "trial": [int(trial) for trial in examples.trial[trials]],
        "time": numbers(examples.time_s, 9),
        "lengths": [int(length) for length in examples.lengths[trials]],
        "neuron": [int(neuron) for neuron in examples.neuron],
        "heldOut": [bool(flag) for flag in examples.held_out],
        "forward": [bool(flag) for flag in examples.forward],
        "groups": neuron_groups(examples),
        "spikes": coarsely_packed(examples.spikes[trials]),
        "rates": {source: coarsely_packed(rates[trials]) for source, rates in sources.items()},
    }


def neuron_groups(examples: ExampleTrials) -> list[dict[str, object]]:
    """Neurons to be shown together: the ones that vary most first, then all in order."""
    telling = telling_neurons(examples, NEURONS_PER_GROUP)
    groups: list[dict[str, object]] = [{"label": "most variable", "neurons": telling}]
    for kind, flag in (("held in", False), ("held out", True)):
        members = [int(n) for n in np.flatnonzero(examples.held_out == flag)]
        for first in range(0, len(members), NEURONS_PER_GROUP):
            some = members[first : first + NEURONS_PER_GROUP]
            ids = f"{examples.neuron[some[0]]} to {examples.neuron[some[-1]]}"
            groups.append({"label": f"{kind}, {ids}", "neurons": some})
    return groups


def _space(space: StateSpace) -> dict[str, object]:
    padding = np.arange(space.trajectories.shape[1]) >= np.asarray(space.lengths)[:, None]
    mapped = space.trajectories_in_truth
    entry: dict[str, object] = {
        "explained": numbers(space.explained, 3),
        "own": packed(np.where(padding[..., None], np.nan, space.trajectories)),
        "mapped": None if mapped is None else packed(np.where(padding[..., None], np.nan, mapped)),
        "points": None,
    }
    if space.points is not None:
        entry["points"] = {
            "own": _positions(space.points_projected),
            "mapped": _positions(space.points_in_truth),
            "kind": kind_of(space.points),
            "text": [_describe(space.points, row) for row in range(len(space.points))],
        }
    return entry


def _positions(points: ArrayLike | None) -> list[list[float | None]] | None:
    return None if points is None else [numbers(point) for point in np.asarray(points)]


def _describe(points: FixedPoints, row: int) -> str:
    kind = KINDS[kind_of(points.take(np.array([row])))[0]].name
    leading = points.eigenvalues[row, 0] if points.eigenvalues.shape[1] else np.nan
    time_constant = 1e3 * points.time_constants_s[row, 0]
    inputs = np.array2string(points.input[row], precision=3) if np.any(points.input[row]) else "0"
    return (
        f"point {row}: {kind}\nspeed {points.speed[row]:.1e} per bin\n"
        f"leading |λ| {abs(leading):.3f}, τ {time_constant:.3g} ms\ninput {inputs}"
    )


def _eigenvalues(result: AnalysisResult, label: str) -> dict[str, object] | None:
    truth, points, leading = leading_pair(result, label)
    if points is None or not len(points):
        return None
    entry: dict[str, object] = {"model": _plane(points, leading), "truth": None}
    if truth is not None:
        entry["truth"] = _plane(truth, leading)
    return entry


def _plane(points: FixedPoints, leading: int) -> dict[str, object]:
    values = points.eigenvalues[:, :leading]
    return {
        "kind": kind_of(points),
        "re": [numbers(row) for row in values.real],
        "im": [numbers(row) for row in values.imag],
        "tau": numbers(points.time_constants_s[:, 0]),
    }
