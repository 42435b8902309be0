"""Samples of LFADS's posterior: their mean and spread, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ctd_contract.torch.random import generator
from ctd_models_torch.base import LatentModel
from ctd_models_torch.batch import Batch
from ctd_models_torch.derived.files import Source
from ctd_models_torch.errors import InputError
from ctd_models_torch.inference import signals_of
from ctd_models_torch.lfads.decoder import Masks
from ctd_models_torch.lfads.model import LFADS, Encoding, Trials
from ctd_models_torch.lfads.posterior import Normal
from ctd_models_torch.moments import RunningMoments
from ctd_models_torch.recording import Recording

# What decoding holds at once of a sample, in multiples of what it returns: intermediate results, and the
# float64 copies that the moments are computed from.
WORKING_COPIES = 6


@dataclass(frozen=True)
class SamplingConfig:
    """How posteriors are sampled.

    Attributes:
        samples: Samples of each trial, at least 2.
        seed: Seed of the samples; each has a stream of its own, by its trial's id and its number.
        memory_mb: As many samples are decoded at once as fit in this; the result is the same.
    """

    samples: int = 50
    seed: int = 0
    memory_mb: int = 1024

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise InputError(f"samples is at least 2, since one has no spread, got {self.samples}")
        if self.memory_mb < 1:
            raise InputError(f"memory_mb is at least 1, got {self.memory_mb}")


def sample(source: Source, config: SamplingConfig | None = None) -> None:
    """Write mean and spread of what a fitted model infers, over samples of its posterior.

    Args:
        source: The model, the recording and the file to write.
        config: Number of samples, seed and memory.

    Raises:
        InputError: There is no model in the folder, it has no posterior, or the recording is none for it.

    Example:
        >>> sample(Source("run", "recording.h5", "sampled.h5"), SamplingConfig(samples=50))  # doctest: +SKIP
    """
    config = config or SamplingConfig()
    source.write(
        lambda model, data: lambda batch: sampled(model, data, batch, config),
        suffix=f"mean of {config.samples} posterior samples",
        settings={"sampling": {"samples": config.samples, "seed": config.seed}},
    )


def sampled(
    model: LatentModel, recording: Recording, batch: Batch, config: SamplingConfig
) -> dict[str, Tensor]:
    """Mean and spread of what a model infers, over samples of its posterior.

    Encoders run once. Rates are averaged as rates. Of inferred inputs each sample tells the mean and the
    variance given the bins before, and those of the mixture are returned.

    Args:
        model: LFADS or BAND of one recording.
        recording: The recording.
        batch: Some of its trials.
        config: Number of samples, seed and memory.

    Returns:
        Means under the contract's names, and standard deviations under these with ``_std``; the moments of
        the initial condition's code are its posterior's own.

    Raises:
        InputError: The model has no posterior.
    """
    sampler = _Sampler(_sampling(model), recording, batch, config)
    blocks = [sampler.block(trials) for trials in torch.arange(len(batch)).split(sampler.block_size)]
    return {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}


def _sampling(model: LatentModel) -> LFADS:
    """Refuse a model that has nothing to sample."""
    if not isinstance(model, LFADS):
        raise InputError("the model has no posterior to sample: fit model=lfads or model=band")
    if not model.initial_prior.samples and not (model.control_prior and model.control_prior.samples):
        raise InputError("nothing of the model is sampled: its priors are of the kind none")
    return model


class _Sampler:
    """Encodes trials once and decodes samples of them in chunks.

    Attributes:
        block_size: Trials that are decoded at once.
    """

    def __init__(self, model: LFADS, recording: Recording, batch: Batch, config: SamplingConfig) -> None:
        self.model, self.recording, self.batch, self.config = model, recording, batch, config
        self.ids: Sequence[int] = recording.file.axis("trial")[batch.rows.cpu().numpy()].tolist()
        parts = model.session
        self.encoding = model.encode(
            parts.read(parts.see(batch)), Trials.of([batch]), batch.n_time, stream=None
        )
        # The first sample of the first trial tells how large samples are.
        one = self._decode(torch.arange(1), range(1))
        given = (self.encoding.encoded, self.encoding.external)
        floats = sum(values.numel() for values in one.values())
        floats += sum(values[:1].numel() for values in given if values is not None)
        budget = config.memory_mb * 2**20 // (4 * WORKING_COPIES * floats)
        # Sums take as much room as a sample.
        self.block_size = min(len(batch), max(1, budget // 2))
        self.chunk_size = min(config.samples, max(1, budget // self.block_size - 1))

    def block(self, trials: Tensor) -> dict[str, Tensor]:
        """Means and spreads of some trials, positions in the batch."""
        moments: dict[str, RunningMoments] = {}
        fixed: dict[str, Tensor] = {}
        for start in range(0, self.config.samples, self.chunk_size):
            numbers = range(start, min(start + self.chunk_size, self.config.samples))
            found = self._decode(trials, numbers)
            for name in [name for name in found if name.startswith("initial_condition")]:
                fixed[name] = found.pop(name)[0]
            spreads = {name: found.pop(name) for name in list(found) if name.endswith("_std")}
            for name, values in found.items():
                spread = spreads.get(f"{name}_std")
                moments.setdefault(name, RunningMoments()).add(
                    values, None if spread is None else spread.square()
                )
        means = {name: each.mean.to(torch.float32) for name, each in moments.items()}
        return fixed | means | {f"{n}_std": each.std.to(torch.float32) for n, each in moments.items()}

    def _decode(self, trials: Tensor, numbers: range) -> dict[str, Tensor]:
        """Named signals of the samples of these numbers, (sample, trial, ...)."""
        model, count = self.model, len(numbers)
        trials = trials.to(self.batch.rows.device)

        def repeated(values: Tensor) -> Tensor:
            chosen = values.index_select(0, trials)
            return chosen.expand(count, *chosen.shape).flatten(0, 1)

        encoding = self.encoding
        initial = Normal(repeated(encoding.initial.mean), repeated(encoding.initial.log_variance))
        own = Encoding(
            initial,
            None if encoding.encoded is None else repeated(encoding.encoded),
            None if encoding.external is None else repeated(encoding.external),
        )
        code, noise = initial.mean, None
        if model.initial_prior.samples:
            code = code + initial.std * self._drawn("initial condition", trials, numbers, code.shape[1:])
        if model.control_prior is not None and model.control_prior.samples:
            shape = (self.batch.n_time, model.config.controller.controls)
            noise = self._drawn("inferred inputs", trials, numbers, shape)
        found = model.decode(own, code, noise, Masks(), self.batch.n_time)
        inferred = model.inferred_of(found, repeated(self.batch.lengths))
        signals: Mapping[str, Tensor] = signals_of(model, self.recording, inferred)
        return {name: values.unflatten(0, (count, len(trials))) for name, values in signals.items()}

    def _drawn(self, name: str, trials: Tensor, numbers: range, shape: Sequence[int]) -> Tensor:
        """Standard normal, (sample and trial, ...); each sample of each trial from a stream of its own.

        They are drawn on the host, so that all devices get the same ones.
        """
        drawn = [
            torch.randn(tuple(shape), generator=generator(self.config.seed, name, self.ids[trial], number))
            for number in numbers
            for trial in trials.tolist()
        ]
        return torch.stack(drawn).to(self.batch.data.device)
