"""A toy analysis result of the 3-bit flip-flop kind, for tests and for trying the report without files.

The truth is the map x' = x + a (x - x^3) in each of three coordinates, which has 27 fixed points on the
corners (stable), edges, faces and centre of a cube. The models are perturbed copies of it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from ctd_analysis.results import (
    TRUTH,
    AnalysisResult,
    Definition,
    ExampleTrials,
    FixedPoints,
    Floats,
    LeftOut,
    Matching,
    MetricRow,
    ModelResult,
    SeedSummary,
    SourceFile,
    StateSpace,
)

BIN_WIDTH_S = 0.01
GAIN = 0.15
METRICS = ("rate_r2", "state_r2_true_to_inferred", "state_r2_inferred_to_true", "co_bps", "cycle_consistency")
N_TRIALS, N_NEURONS = 8, 60


@dataclass(frozen=True)
class ToyModel:
    """A pretended model: how far its dynamics are from the truth.

    Attributes:
        name: The model's name; markup characters are welcome.
        score: About its R².
        displacement: Spread of its fixed points around the true ones.
        linear: Its dynamics are a single stable point.
        states: Whether it has states at all.
        opaque: Its dynamics have no portable form, so there are no points.
    """

    name: str
    score: float
    displacement: float = 0.05
    linear: bool = False
    states: bool = True
    opaque: bool = False


TOY_MODELS = (
    ToyModel("GRU", 0.96, 0.04),
    ToyModel("NODE", 0.93, 0.07),
    ToyModel("RNN", 0.88, 0.12),
    ToyModel("LDS", 0.52, linear=True),
)


def make_result(
    models: tuple[ToyModel, ...] = TOY_MODELS,
    *,
    truth: bool = True,
    n_time: int = 100,
    n_seeds: int = 1,
    dataset: str = "flip_flop_3_bit",
    seed: int = 0,
) -> AnalysisResult:
    """Make an analysis result without any file.

    Args:
        models: The models in it.
        truth: Whether the recording has one.
        n_time: Bins of a trial.
        n_seeds: Seeds of each model.
        dataset: Name of the recording.
        seed: Seed of all random numbers.
    """
    random = np.random.default_rng(seed)
    states, inputs = _trials(random, n_time)
    entries = [(model, model_seed) for model in models for model_seed in range(n_seeds)]
    labels = [model.name if n_seeds == 1 else f"{model.name} seed {index}" for model, index in entries]
    with_label = list(zip(labels, entries, strict=True))
    true_points = _points(random, ToyModel("", 1.0, 0.0), TRUTH)
    spaces = {TRUTH: _space(TRUTH, states, true_points, True)} if truth else {}
    for label, (model, _) in with_label:
        if model.states:
            spaces[label] = _model_space(random, label, model, states, truth)
    rows = [row for label, (m, s) in with_label for row in _metrics(random, dataset, m, s, truth)]
    return AnalysisResult(
        dataset=dataset,
        dataset_id="5d1f0b52-0c1c-4a3e-9f53-1c7a2f0b9a11",
        split="test",
        bin_width_s=BIN_WIDTH_S,
        n_trials=200,
        interval=0.95,
        models=tuple(_model(label, m, s) for label, (m, s) in with_label),
        metrics=tuple(rows),
        left_out=tuple(_left_out(models, truth)),
        definitions={
            key: value for key, value in _definitions().items() if any(_key(r) == key for r in rows)
        },
        seeds=tuple(_seed_summaries(rows)),
        examples=_examples(random, states, inputs, labels, [m.score for m, _ in entries], truth),
        spaces=spaces,
        matches={
            k: _match(k, true_points, v.points)
            for k, v in spaces.items()
            if truth and k != TRUTH and v.points
        },
        software={"ctd-analysis": "0.1.0", "ctd-contract": "0.1.0", "numpy": np.__version__},
        files=tuple(
            SourceFile(k, f"{i}.h5", f"id-{i}", 64 * f"{i % 10}") for i, k in enumerate([TRUTH, *labels])
        ),
        command="ctd-analysis truth=recording.h5 inference=[gru.h5,lds.h5]",
        config={"truth": "recording.h5", "seed": seed},
    )


def _trials(random: np.random.Generator, n_time: int) -> tuple[Floats, Floats]:
    pulses = random.choice([-1.0, 0.0, 1.0], p=[0.02, 0.96, 0.02], size=(N_TRIALS, n_time, 3))
    noise = 0.03 * random.standard_normal(pulses.shape)
    states = np.empty_like(pulses)
    state = random.choice([-1.0, 1.0], size=(N_TRIALS, 3))
    drive = np.zeros_like(state)
    for k in range(n_time):
        drive = 0.7 * drive + 0.5 * pulses[:, k]
        state = state + GAIN * (state - state**3) + drive + noise[:, k]
        states[:, k] = state
    return states, pulses


def _points(random: np.random.Generator, model: ToyModel, source: str) -> FixedPoints:
    corners = (
        np.zeros((1, 3)) if model.linear else np.array(list(itertools.product([-1.0, 0.0, 1.0], repeat=3)))
    )
    state = corners + model.displacement * random.standard_normal(corners.shape)
    diagonal = np.full_like(state, 0.97) if model.linear else 1.0 + GAIN * (1.0 - 3.0 * corners**2)
    diagonal = diagonal + 0.2 * model.displacement * random.standard_normal(diagonal.shape)
    jacobian = np.einsum("ps,st->pst", diagonal, np.eye(3))
    jacobian[:, 0, 1] += 0.1 * model.displacement
    jacobian[:, 1, 0] -= 0.4 * model.displacement
    values = np.linalg.eigvals(jacobian).astype(np.complex128)
    values = np.take_along_axis(values, np.argsort(-np.abs(values), axis=1), axis=1)
    slow = np.zeros(len(state), bool)
    slow[-1] = model.displacement > 0.1
    speed = np.where(slow, 3e-3, 10.0 ** random.uniform(-14, -10, len(state)))
    inputs = np.zeros((len(state), 3))
    modes = np.full(len(state), -1)
    return FixedPoints(
        state,
        inputs,
        modes,
        speed,
        jacobian,
        values,
        slow,
        BIN_WIDTH_S,
        source,
        n_starts=1024,
        n_converged=990,
    )


def _space(label: str, states: Floats, points: FixedPoints | None, truth: bool) -> StateSpace:
    lengths = np.full(len(states), states.shape[1])
    lengths[1] -= states.shape[1] // 5
    at = points.state if points is not None else None
    return StateSpace(
        label,
        states,
        np.array([0.36, 0.33, 0.29]),
        lengths,
        points,
        at,
        states if truth else None,
        at if truth else None,
    )


def _model_space(
    random: np.random.Generator, label: str, model: ToyModel, states: Floats, truth: bool
) -> StateSpace:
    points = None if model.opaque else _points(random, model, label)
    shrink = 0.6 if model.linear else 1.0
    noise = 0.4 * (1.0 - model.score) * random.standard_normal(states.shape)
    return _space(label, shrink * states + noise, points, truth)


def _match(label: str, truth: FixedPoints, points: FixedPoints) -> Matching:
    fixed = np.flatnonzero(points.is_fixed)
    true = np.argmin(np.linalg.norm(truth.state[None] - points.state[fixed, None], axis=-1), axis=1)
    spread = np.sqrt(3.0)
    return Matching(
        label=label,
        pairs=np.stack([true, fixed], axis=1),
        distance=np.linalg.norm(truth.state[true] - points.state[fixed], axis=-1) / spread,
        multiplier_error=np.sqrt(
            np.mean(np.abs(truth.eigenvalues[true] - points.eigenvalues[fixed]) ** 2, axis=-1)
        ),
        rate_error_per_s=np.sqrt(
            np.mean(np.abs(np.log(truth.eigenvalues[true]) - np.log(points.eigenvalues[fixed])) ** 2, axis=-1)
        )
        / BIN_WIDTH_S,
        n_leading=3,
        missed=np.setdiff1d(np.arange(len(truth)), true),
        spurious=np.zeros(0, np.int64),
        cutoff=0.5,
    )


def _model(label: str, model: ToyModel, seed: int) -> ModelResult:
    kind = None if model.opaque or not model.states else "affine" if model.linear else "gru"
    return ModelResult(
        label, model.name, seed, f"{label}.h5", f"id-{label}", kind, 3 if model.states else None
    )


def _metrics(
    random: np.random.Generator, dataset: str, model: ToyModel, seed: int, truth: bool
) -> list[MetricRow]:
    rows = []
    for metric in METRICS:
        needs_truth, needs_states = metric != "co_bps", "state" in metric or metric == "cycle_consistency"
        if (needs_truth and not truth) or (needs_states and not model.states):
            continue
        value = (0.11 if metric == "co_bps" else 1.0) * model.score + 0.004 * random.standard_normal()
        half = 0.004 + 0.03 * (1.0 - model.score)
        for definition in ("by-trial-1", "published-1") if metric == "rate_r2" else ("by-trial-1",):
            row = MetricRow(
                dataset, model.name, seed, "test", metric, definition, value, value - half, value + half
            )
            rows.append(row)
    return rows


def _key(row: MetricRow) -> str:
    return f"{row.metric}/{row.definition}"


def _definitions() -> dict[str, Definition]:
    text = "1 is perfect, 0 is no better than the mean; blind to timing errors shared by all neurons."
    formula = "1 - sum_d SSE_d / sum_d SST_d"
    current = [Definition("by-trial-1", metric, formula, text) for metric in METRICS]
    published = Definition("published-1", "rate_r2", formula, text, "Versteeg et al. 2025", published=True)
    return {definition.key: definition for definition in [*current, published]}


def _seed_summaries(rows: list[MetricRow]) -> list[SeedSummary]:
    groups: dict[tuple[str, str, str, str, str], list[float]] = {}
    for row in rows:
        key = (row.dataset, row.model, row.split, row.metric, row.definition)
        groups.setdefault(key, []).append(row.value)
    return [
        SeedSummary(*key, len(v), float(np.mean(v)), float(np.std(v, ddof=1)) if len(v) > 1 else None)
        for key, v in groups.items()
    ]


def _left_out(models: tuple[ToyModel, ...], truth: bool) -> list[LeftOut]:
    left = (
        []
        if truth
        else [LeftOut(m.name, 0, "state_r2_true_to_inferred", "the recording has no truth") for m in models]
    )
    for model in models:
        if not model.states:
            left.append(LeftOut(model.name, 0, "state_r2_true_to_inferred", "the file holds no states"))
            left.append(LeftOut(model.name, 0, "fixed_points", "the file holds no dynamics"))
        elif model.opaque:
            left.append(LeftOut(model.name, 0, "fixed_points", "its dynamics are opaque"))
    return left


def _examples(
    random: np.random.Generator,
    states: Floats,
    inputs: Floats,
    labels: list[str],
    scores: list[float],
    truth: bool,
) -> ExampleTrials:
    n_time = states.shape[1]
    weights = random.standard_normal((3, N_NEURONS))
    rates = 12.0 * np.exp(0.6 * states @ weights)
    inferred = {
        label: rates * np.exp(0.8 * (1 - score) * random.standard_normal((N_TRIALS, 1, N_NEURONS)))
        for label, score in zip(labels, scores, strict=True)
    }
    lengths = np.full(N_TRIALS, n_time)
    lengths[1] -= n_time // 5
    return ExampleTrials(
        trial=np.arange(N_TRIALS) * 7 + 3,
        time_s=BIN_WIDTH_S * np.arange(n_time),
        lengths=lengths,
        neuron=np.arange(N_NEURONS),
        held_out=np.arange(N_NEURONS) >= 50,
        spikes=random.poisson(rates * BIN_WIDTH_S).astype(np.float64),
        true_rates=rates if truth else None,
        rates=inferred,
        inputs=inputs,
        input_names=("bit 0", "bit 1", "bit 2"),
        inferred_inputs={},
        forward=np.zeros(n_time, bool),
    )
