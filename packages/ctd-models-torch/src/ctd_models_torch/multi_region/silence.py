"""What a fitted MR-LFADS does when some of its connections are silent."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import torch
from torch import Tensor

from ctd_models_torch import inference
from ctd_models_torch.base import LatentModel
from ctd_models_torch.batch import Batch
from ctd_models_torch.derived.files import Source
from ctd_models_torch.errors import InputError
from ctd_models_torch.multi_region.config import SilenceConfig
from ctd_models_torch.multi_region.model import MRLFADS
from ctd_models_torch.multi_region.regions import Regions
from ctd_models_torch.recording import Recording


def silence(source: Source, config: SilenceConfig) -> None:
    """Write what a model infers when some of its connections are silent.

    The messages of these connections are their prior's mean, 0, in the window. Everything else runs on as it
    was fitted: regions hear of it by what they receive, and their controllers by their own factors.

    Args:
        source: The fitted MR-LFADS and the recording.
        config: Which connections, and when.

    Raises:
        InputError: The model has no connections, or not these, or the window lies outside of the trials.
    """
    suffix = f"without {' '.join(config.connections)}{_window(config)}"
    source.write(partial(silenced, config=config), suffix=suffix, settings={"silence": asdict(config)})


def silenced(model: LatentModel, recording: Recording, *, config: SilenceConfig) -> inference.Signals:
    """What gives the signals of a batch; see `silence`."""
    if not isinstance(model, MRLFADS):
        raise InputError("connections are those of model=mr_lfads, and the fitted model is another")
    kept = channels(model.regions, config, len(recording.file.time), model.config.messages.size)

    def signals(batch: Batch) -> dict[str, Tensor]:
        return inference.signals_of(model, recording, model.infer(batch, kept.to(batch.data.device)))

    return signals


def channels(regions: Regions, config: SilenceConfig, n_time: int, size: int) -> Tensor:
    """What messages are multiplied with, (time, region, message): 0 where they are silent, else 1.

    Args:
        regions: The regions.
        config: Which connections, and when.
        n_time: Bins.
        size: Channels of each connection.
    """
    stop = n_time if config.stop is None else config.stop
    if not config.start < stop <= n_time:
        raise InputError(f"start={config.start} and stop={config.stop} are no window of the {n_time} bins")
    kept = torch.ones(n_time, len(regions.connections), size)
    for connection in config.connections:
        kept[config.start : stop, _chosen(regions, connection)] = 0.0
    return kept.view(n_time, len(regions), -1)


def _chosen(regions: Regions, connection: str) -> list[int]:
    """Positions among all connections of those that SOURCE:TARGET names."""
    source, _, target = connection.partition(":")
    found = [
        index
        for index, ends in enumerate(regions.connections)
        if all(name in ("*", regions.names[end]) for name, end in zip((source, target), ends, strict=True))
    ]
    if not found:
        raise InputError(
            f"connections has {connection}: give SOURCE:TARGET, two of {', '.join(regions.names)}, "
            "or * for any"
        )
    return found


def _window(config: SilenceConfig) -> str:
    if config.start == 0 and config.stop is None:
        return ""
    return f" from bin {config.start}" + ("" if config.stop is None else f" to {config.stop}")
