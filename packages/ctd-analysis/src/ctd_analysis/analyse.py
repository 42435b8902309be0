"""One analysis: a recording with its truth, and the models that were fitted to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np

import ctd_contract as cc
from ctd_analysis.affine_map import AffineMap
from ctd_analysis.bootstrap import Bootstrap
from ctd_analysis.differences import Resampled, paired_differences
from ctd_analysis.examples import example_trials
from ctd_analysis.fixed_points import FixedPointSearch, MatchSettings, match_fixed_points
from ctd_analysis.fixed_points.rows import count_rows, match_rows
from ctd_analysis.results import (
    TRUTH,
    AnalysisResult,
    Definition,
    FixedPoints,
    Integers,
    LeftOut,
    Matching,
    MetricRow,
    ModelResult,
    SourceFile,
    StateSpace,
)
from ctd_analysis.score import Scores, score_ceilings, score_model
from ctd_analysis.seeds import summarise_seeds
from ctd_analysis.sources import Inference, Recording
from ctd_analysis.state_space import (
    RESTING,
    ZERO,
    Visited,
    fixed_points_of,
    map_to_truth,
    state_space,
    visit,
    visited_trials,
)
from ctd_contract.reader import ContractFile

PACKAGES = ("ctd-analysis", "ctd-contract", "numpy", "scipy")


@dataclass
class AnalysisConfig:
    """Settings of an analysis.

    Attributes:
        split: The split that is scored. Maps are always fitted on `train`.
        n_resamples: Bootstrap resamples of the trials; 0 for no intervals.
        interval: Coverage of the intervals.
        n_examples: Trials kept to be drawn.
        condition_bins: Bins, counted from 1, from each of which the trial's condition is decoded.
        constant_input: Input under which fixed points are searched: `resting`, the median of each channel, or
            `zero`.
        search: Of fixed points.
        matching: Of fixed points.
        compare_to: Name of the model that is subtracted from the others; None for no differences.
        seed: Of resampling and starts.
    """

    split: str = "test"
    n_resamples: int = 1000
    interval: float = 0.95
    n_examples: int = 10
    condition_bins: list[int] = field(default_factory=list)
    constant_input: str = RESTING
    search: FixedPointSearch = field(default_factory=FixedPointSearch)
    matching: MatchSettings = field(default_factory=MatchSettings)
    compare_to: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.split not in cc.SPLITS:
            raise ValueError(f"split is {self.split!r}, expected one of {', '.join(cc.SPLITS)}")
        if self.constant_input not in (RESTING, ZERO):
            raise ValueError(f"constant_input is {self.constant_input!r}, expected {RESTING} or {ZERO}")
        if any(number < 1 for number in self.condition_bins):
            raise ValueError(f"condition_bins is {self.condition_bins}, bins are counted from 1")
        if self.n_examples < 1:
            raise ValueError(f"n_examples is {self.n_examples}, it has to be 1 or more")

    @property
    def bootstrap(self) -> Bootstrap:
        """The settings of the intervals."""
        return Bootstrap(self.n_resamples, self.interval, self.seed)


def analyse(
    truth: str | os.PathLike[str],
    inference: Sequence[str | os.PathLike[str]],
    config: AnalysisConfig | None = None,
    *,
    task: str | os.PathLike[str] | None = None,
    advance: Callable[[str], None] | None = None,
) -> AnalysisResult:
    """Compares models with the truth of the recording that they were fitted to.

    Args:
        truth: The recording.
        inference: Inference files of it, seeds of one model under one name.
        config: Settings.
        task: Task file of the network behind the recording, for what the recording doesn't carry itself.
        advance: Called with the label of each source when it is done.

    Returns:
        Numbers, points and examples.

    Raises:
        ValueError: The files don't belong together.
        ContractError: A file is damaged or breaks the contract.

    Example:
        >>> result = analyse("recording.h5", ["gru.h5", "lds.h5"])  # doctest: +SKIP
        >>> result.row("gru", "rate_r2").value  # doctest: +SKIP
        0.96
    """
    if not inference:
        raise ValueError("no inference file was given")
    with ExitStack() as stack:

        def opened(path: str | os.PathLike[str]) -> ContractFile:
            return stack.enter_context(cc.open(path))

        config = config or AnalysisConfig()
        recording = Recording(
            opened(truth), None if task is None else opened(task), condition_bins=config.condition_bins
        )
        models = [Inference(opened(path), recording) for path in inference]
        return _Analysis(recording, models, config).run(advance or (lambda _: None))


class _Analysis:
    """The state of one analysis while its files are open."""

    def __init__(self, recording: Recording, models: Sequence[Inference], config: AnalysisConfig) -> None:
        self.recording = recording
        self.config = config
        self.models = dict(zip(describe_models(models), models, strict=True))
        self.scored = recording.split(config.split)
        if len(self.scored) == 0:
            raise ValueError(f"{recording.file.path.name} has no trials in its {config.split} split")
        self.shown = self.scored[: config.n_examples]
        names = dict.fromkeys(model.name for model in self.models)
        if config.compare_to is not None and config.compare_to not in names:
            raise ValueError(
                f"compare_to is {config.compare_to!r}, expected a model of this analysis: {', '.join(names)}"
            )
        self.rows: list[MetricRow] = []
        self.resampled: list[Resampled] = []
        self.left_out: list[LeftOut] = []
        self.definitions: dict[str, Definition] = {}
        self.spaces: dict[str, StateSpace] = {}
        self.matches: dict[str, Matching] = {}
        self.truth: Visited | None = None

    def run(self, advance: Callable[[str], None]) -> AnalysisResult:
        split, bootstrap = self.config.split, self.config.bootstrap
        self._add_truth()
        advance(TRUTH)
        for model, inference in self.models.items():
            self._add_scores(score_model(self.recording, inference, model, split=split, bootstrap=bootstrap))
            self._add_model(model, inference)
            advance(model.label)
        if any("inferred_inputs" in inference.signals for inference in self.models.values()):
            for scores in score_ceilings(self.recording, split=split, bootstrap=bootstrap):
                self._add_scores(scores)
        return self._result()

    def _add_scores(self, scores: Scores) -> None:
        self.rows += scores.rows
        self.resampled += scores.resampled
        self.left_out += scores.left_out
        self.definitions |= {definition.key: definition for definition in scores.definitions}

    def _add_truth(self) -> None:
        recording = self.recording
        if "true_states" not in recording.signals:
            self._leave_out(None, "the recording has no true states")
            return
        available = np.ones(recording.file.sizes["trial"], dtype=bool)
        trials = visited_trials(recording, self._reference(available))
        self.truth = visit(recording, recording.signals["true_states"], trials)
        points = self._points(None, self.truth)
        states = recording.signals["true_states"].read(self.shown)
        lengths = recording.lengths[self.shown]
        self.spaces[TRUTH] = state_space(states, lengths, self.truth, points, self.truth, None, TRUTH)

    def _reference(self, available) -> Integers:
        """Training trials, for maps and visited states; the scored ones where there are none."""
        train = np.flatnonzero(self.recording.file.split("train") & available)
        return train if len(train) else self.scored

    def _add_model(self, model: ModelResult, inference: Inference) -> None:
        if "states" not in inference.signals:
            self._leave_out(model, "the model gives no states")
            return
        recording, states = self.recording, inference.signals["states"]
        visited = visit(recording, states, visited_trials(recording, self._reference(inference.has)))
        truth, to_truth = self.truth, None
        if truth is not None:
            if not np.array_equal(visited.trials, truth.trials):
                truth = visit(recording, recording.signals["true_states"], visited.trials)
            to_truth = map_to_truth(visited, truth, self.config.matching.ridge)
        points = self._points(model, visited)
        lengths = recording.lengths[self.shown]
        self.spaces[model.label] = state_space(
            states.read(self.shown), lengths, visited, points, self.truth, to_truth, model.label
        )
        if points is not None and to_truth is not None:
            self._match(model, points, to_truth)

    def _points(self, model: ModelResult | None, visited: Visited) -> FixedPoints | None:
        """Fixed points of the truth (no model) or of a model; None, with the reason left behind."""
        source = TRUTH if model is None else model.label
        signals = self.recording.signals if model is None else self.models[model].signals
        try:
            dynamics = (
                self.recording.truth_dynamics() if model is None else self.models[model].file.dynamics()
            )
            points = fixed_points_of(
                dynamics,
                self.recording,
                signals,
                visited,
                search=self.config.search,
                choice=self.config.constant_input,
                seed=self.config.seed,
                source=source,
            )
        except cc.ContractError:
            raise
        except ValueError as error:
            self._leave_out(model, str(error))
            return None
        self._add_rows(model, count_rows(points))
        return points

    def _match(self, model: ModelResult, points: FixedPoints, to_truth: AffineMap) -> None:
        true_points = self.spaces[TRUTH].points
        if true_points is None or self.truth is None:
            return
        matching = match_fixed_points(
            true_points, points, to_truth, self.truth.region, settings=self.config.matching, label=model.label
        )
        self.matches[model.label] = matching
        self._add_rows(model, match_rows(true_points, points, matching))

    def _add_rows(self, model: ModelResult | None, numbers: list[tuple[Definition, float]]) -> None:
        name, seed = (TRUTH, -1) if model is None else (model.name, model.seed)
        for definition, value in numbers:
            self.definitions[definition.key] = definition
            self.rows.append(
                MetricRow(
                    self.recording.file.name, name, seed, "all", definition.metric, definition.name, value
                )
            )

    def _leave_out(self, model: ModelResult | None, reason: str) -> None:
        name, seed = (TRUTH, -1) if model is None else (model.name, model.seed)
        self.left_out.append(LeftOut(name, seed, "fixed_points", reason))

    def _result(self) -> AnalysisResult:
        recording, config = self.recording, self.config
        return AnalysisResult(
            dataset=recording.file.name,
            dataset_id=recording.file.id,
            split=config.split,
            bin_width_s=recording.session.bin_width_s,
            n_trials=len(self.scored),
            interval=config.interval,
            models=tuple(self.models),
            metrics=tuple(self.rows),
            left_out=tuple(self.left_out),
            definitions=self.definitions,
            seeds=summarise_seeds(self.rows),
            examples=example_trials(
                recording, {model.label: inference for model, inference in self.models.items()}, self.shown
            ),
            spaces=self.spaces,
            matches=self.matches,
            software={package: version(package) for package in PACKAGES},
            files=tuple(self._files()),
            config=asdict(config),
            differences=paired_differences(self.resampled, config.compare_to, config.bootstrap),
        )

    def _files(self):
        yield _source_file(TRUTH, self.recording.file)
        if self.recording.task is not None:
            yield _source_file("task", self.recording.task)
        for model, inference in self.models.items():
            yield _source_file(model.label, inference.file)


def describe_models(models: Sequence[Inference]) -> list[ModelResult]:
    """Names, seeds and labels: files of one name are seeds of one model.

    Raises:
        ValueError: The same file was given twice, or two files have both name and seed in common.
    """
    files = [model.file for model in models]
    seeds = [-1 if file.provenance.seed is None else file.provenance.seed for file in files]
    found = list(zip((file.name for file in files), seeds, strict=True))
    names = [name for name, _ in found]
    described = []
    for (name, seed), file in zip(found, files, strict=True):
        if found.count((name, seed)) > 1:
            raise ValueError(
                f"two inference files are called {name!r} with seed {seed}: give each fit a name of its own "
                "or another seed, their rows couldn't be told apart"
            )
        dynamics, states = file.dynamics(), file.signals.get("states")
        described.append(
            ModelResult(
                label=name if names.count(name) == 1 else f"{name} seed {seed}",
                name=name,
                seed=seed,
                file_name=Path(file.path).name,
                file_id=file.id,
                dynamics_kind=None if dynamics is None else dynamics.kind,
                state_size=None if states is None else states.shape[2],
            )
        )
    return described


def _source_file(role: str, file: ContractFile) -> SourceFile:
    provenance = file.provenance
    return SourceFile(
        role=role,
        file_name=Path(file.path).name,
        file_id=file.id,
        digest=file.digest,
        producer=provenance.producer,
        created=provenance.created,
        seed=provenance.seed,
        config=provenance.config,
    )
