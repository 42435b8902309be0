"""Small MR-LFADS of three unequal regions, and recordings of two, that tests share."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from toys import batch_of, model_of, shape_of, small_config

import ctd_contract as cc
from ctd_models_torch.batch import Batch
from ctd_models_torch.config import ReadoutConfig
from ctd_models_torch.multi_region.config import MRLFADSConfig
from ctd_models_torch.multi_region.model import MRLFADS
from ctd_models_torch.shape import Shape

# Neurons of the regions A, B, C; every third neuron is held out.
SIZES = (6, 4, 2)
BINS = 8


def config_of(**changes) -> MRLFADSConfig:
    config = small_config("mr_lfads")
    assert isinstance(config, MRLFADSConfig)
    # Sizes of their own: 9, 8 and 4 units, 3, 3 and 2 factors.
    return replace(config, size=None, largest_size=9, factors=None, largest_factors=3, **changes)


def region_shape(*, inputs: int = 2, signal: str = "spikes", bins: int = BINS) -> Shape:
    total = sum(SIZES)
    shape = shape_of(neurons=total, bins=bins, inputs=inputs, signal=signal)
    regions = np.repeat([0, 1, 2], SIZES).tolist()
    hidden = [index % 3 == 2 for index in range(total)]
    return replace(shape, regions=regions, region_names=["A", "B", "C"], held_out=hidden)


def regions_model(
    config: MRLFADSConfig, *, readout: ReadoutConfig | None = None, inputs: int = 2, double: bool = False
) -> MRLFADS:
    model = model_of(config, region_shape(inputs=inputs), readout)
    assert isinstance(model, MRLFADS)
    return model.double() if double else model


def region_batch(random, *, inputs: int = 2, double: bool = False, **options) -> Batch:
    batch = batch_of(random, region_shape(inputs=inputs), bins=BINS, **options)
    return doubled(batch) if double else batch


def doubled(batch: Batch) -> Batch:
    inputs = None if batch.inputs is None else batch.inputs.double()
    return replace(batch, data=batch.data.double(), inputs=inputs)


def signals(inferred) -> dict[str, torch.Tensor]:
    return {"prediction": inferred.prediction, "states": inferred.states, **inferred.signals}


def one_way(path: Path, *, n_trials: int, n_time: int, seed: int = 0) -> Path:
    """A recording in which region A drives B: B's state is A's of the bin before, leaky, and nothing else."""
    random = np.random.default_rng(seed)
    source, follower = np.zeros((2, n_trials, n_time, 2))
    for index in range(n_time):
        kick = 0.9 * random.standard_normal((n_trials, 2)) * (random.random((n_trials, 1)) < 0.25)
        before = source[:, index - 1] if index else 0.8 * random.standard_normal((n_trials, 2))
        source[:, index] = 0.85 * before + kick
        follower[:, index] = 0.5 * (follower[:, index - 1] if index else 0.0) + 0.6 * before
    rates = []
    for states, neurons in ((source, 20), (follower, 14)):
        rates.append(np.exp(states @ (0.7 * random.standard_normal((2, neurons))) + np.log(1.5)))
    spikes = random.poisson(np.concatenate(rates, axis=2).clip(max=30.0))
    order = random.permutation(n_trials)
    with cc.create(
        path, "recording", name="one way", trial=n_trials, time=n_time, bin_width_s=0.02,
        axes={"neuron": 34, "region": 2}, producer="test", config={}, seed=seed,
    ) as writer:  # fmt: skip
        writer.names("region", ["A", "B"])
        writer.column(
            "trials", "split", np.select([order < 0.8 * n_trials, order < 0.9 * n_trials], [0, 1], 2)
        )
        writer.column("neurons", "held_out", np.zeros(34, np.uint8))
        writer.column("neurons", "region", np.repeat([0, 1], [20, 14]))
        writer.signal("spikes", spikes)
    return path
