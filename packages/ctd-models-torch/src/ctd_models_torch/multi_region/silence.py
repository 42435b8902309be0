"""What a fitted MR-LFADS does when some of its connections are silent."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ctd_models_torch import inference
from ctd_models_torch.base import LatentModel
from ctd_models_torch.batch import Batch
from ctd_models_torch.errors import InputError
from ctd_models_torch.multi_region.config import SilenceConfig
from ctd_models_torch.multi_region.model import MRLFADS
from ctd_models_torch.multi_region.regions import Regions
from ctd_models_torch.recording import Recording


def silenced(model: LatentModel, recording: Recording, config: SilenceConfig) -> dict[str, Any]:
    """Signals of a model whose connections are partly silent, as `inference.write` takes them.

    The messages of these connections are their prior's mean, 0, in the window. Everything else runs on as it
    was fitted: regions hear of it by what they receive, and their controllers by their own factors.

    Args:
        model: MR-LFADS.
        recording: Which is inferred.
        config: Which connections, and when.

    Returns:
        ``by``, the signals of a batch, and ``name``, what the result is called in tables.

    Raises:
        InputError: The model has no connections, or not these, or the window lies outside of the trials.
    """
    if not isinstance(model, MRLFADS):
        raise InputError("silence.connections are those of model=mr_lfads, and the fitted model is another")
    kept = channels(model.regions, config, len(recording.file.time), model.config.messages.size)

    def by(batch: Batch) -> dict[str, Tensor]:
        inferred = model.infer(batch, kept.to(batch.data.device))
        return inference.signals_of(model, recording, inferred)

    return {"by": by, "name": f"mr_lfads without {' '.join(config.connections)}{_window(config)}"}


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
        raise InputError(
            f"silence.start={config.start} and silence.stop={config.stop} are no window of the {n_time} bins"
        )
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
            f"silence.connections has {connection}: give SOURCE:TARGET, two of {', '.join(regions.names)}, "
            "or * for any"
        )
    return found


def _window(config: SilenceConfig) -> str:
    if config.start == 0 and config.stop is None:
        return ""
    return f" from bin {config.start}" + ("" if config.stop is None else f" to {config.stop}")
