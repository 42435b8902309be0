"""A recording as arrays: what an encoder may see, what is scored, what drives the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import ctd_contract as cc


class Recording(NamedTuple):
    """Arrays of one recording; a pytree, so that any subset of trials is one ``tree.map``.

    Attributes:
        counts: (trial, time, neuron) spike counts, float32; zero where unobserved.
        visible: (trial, time) 1 where the encoder may look: neither padding nor forward bins.
        scored: (trial, time, neuron) 1 where a count was observed and is no padding.
        inputs: (trial, time, input) known inputs of the decoder.
    """

    counts: np.ndarray
    visible: np.ndarray
    scored: np.ndarray
    inputs: np.ndarray


def load(path: str | Path, inputs: Sequence[str]) -> tuple[Recording, dict[str, np.ndarray], np.ndarray]:
    """Read a recording of spikes.

    Returns:
        The arrays of all trials; for each split the rows of its trials; held_out (neuron,) bool.

    Raises:
        ContractError: The file is damaged.
        ValueError: It holds no spikes, or not the inputs that were asked for.
    """
    with cc.open(path) as file:
        if file.kind != "recording" or "spikes" not in file.signals:
            raise ValueError(
                f"{path} is no recording of spikes (kind {file.kind}, signals {', '.join(file.signals)})"
            )
        if missing := [name for name in inputs if name not in file.signals]:
            raise ValueError(
                f"{path} has no signal {', '.join(missing)} (it has {', '.join(file.signals)}): "
                "choose with model.inputs=[...], [] for none"
            )
        counts = np.asarray(file.signals["spikes"][:], np.float32)
        valid = np.asarray(file.valid_bins(slice(None)))
        scored = np.broadcast_to(valid[:, :, None], counts.shape).astype(np.float32)
        if "observed" in file.signals:
            scored = scored * (np.asarray(file.signals["observed"][:]) > 0)
        known = [np.asarray(file.signals[name][:], np.float32) for name in inputs]
        joined = np.concatenate(known, -1) if known else np.zeros((*counts.shape[:2], 0), np.float32)
        visible = (valid & ~np.asarray(file.forward)).astype(np.float32)
        splits = {name: np.flatnonzero(file.split(name)) for name in cc.SPLITS}
        held_out = np.asarray(file.held_out, bool)
    return Recording(counts * scored, visible, scored, joined), splits, held_out
