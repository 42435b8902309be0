"""The HDF5 layouts of the computation-through-dynamics benchmark.

Task-trained networks: `{split}_encod_data`, `_recon_data`, `_inputs`, `_activity` (expected counts per
bin), `_latents`, `_extra`, `_inds`, and `readout`, `orig_mean`, `orig_std`, `perm_neurons`. Chaotic
systems: `{split}_data`, `_activity`, `_latents`, `_times`, `_inds` and `readout`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ctd_contract.readout import Layer, Readout

from .design import Design
from .split_keys import SplitKeys, open_split_keys, split_key_names
from .trials import Trials, needed_bin_width, rates_per_second

NAME = "ctdb"

# These files have no physical time; the contract's convention for such tasks.
CONVENTION_S = 0.01


def recognises(names: Iterable[str]) -> bool:
    """Whether a file with these keys is of one of these layouts."""
    found = split_key_names(names)
    return {"activity", "latents"} <= found and bool({"data", "encod_data", "recon_data"} & found)


def read(path: Path, *, bin_width_s: float | None, design: Design) -> Trials:
    """Read a file of these layouts.

    Args:
        path: The file.
        bin_width_s: Width of a bin in s; 0.01 s by convention, since the files have no time of their own.
        design: Makes three splits when the file has two.

    Raises:
        ContractError: A key is missing, or arrays disagree.
    """
    with open_split_keys(path) as keys:
        width = needed_bin_width(bin_width_s, CONVENTION_S, path.name)
        inputs = keys.get("inputs", axes=("trial", "time", "input"))
        states = keys.get("latents", axes=("trial", "time", "state"))
        activity = keys.get("activity", axes=("trial", "time", "neuron"))
        truth = {} if states is None else {"states": states}
        readout = None
        if activity is not None:
            truth["rates"] = rates_per_second(activity, keys.data, width, f"{path.name}:train_activity")
            if states is not None:
                readout = _readout(keys, states, truth["rates"] * width, width)
        trial, columns = keys.trial_ids()
        columns |= _extra(keys) | _permutation(keys)
        _standardisation(keys)
        keys.warn_of_unused()
        return Trials(
            keys.data,
            width,
            keys.three_splits(design),
            signals={} if inputs is None else {"inputs": inputs},
            truth=truth,
            columns={**columns, **keys.masks()},
            trial=trial,
            readout=readout,
        )


def _standardisation(keys: SplitKeys) -> None:
    """Take note of constants that the readout has absorbed."""
    for name in ("orig_mean", "orig_std"):
        keys.root(name)


def _permutation(keys: SplitKeys) -> dict[tuple[str, str], np.ndarray]:
    permutation = keys.root("perm_neurons")
    if permutation is None or permutation.shape != (keys.sizes["neuron"],):
        return {}
    return {("neurons", "permutation"): permutation.astype(np.int64)}


def _extra(keys: SplitKeys) -> dict[tuple[str, str], np.ndarray]:
    """Columns of what a task noted of each trial, and the start of each trial in the system's own time."""
    columns: dict[tuple[str, str], np.ndarray] = {}
    times = keys.get("times", axes=("trial", "time"))
    if times is not None:
        columns["trials", "system_start"] = times[:, 0].astype(np.float64)
    extra = keys.get_trials("extra")
    if extra is not None:
        flat = extra.reshape(len(extra), -1)
        columns |= {("trials", f"extra_{i}"): flat[:, i].astype(np.float64) for i in range(flat.shape[1])}
    return columns


def _readout(keys: SplitKeys, states: np.ndarray, counts: np.ndarray, bin_width_s: float) -> Readout | None:
    """Return the chain from state to rate when exp of a standardised linear readout reproduces the rates.

    The scale before exp isn't in the file, so gain and offset of each neuron are fitted; a readout that
    leaves more than rounding is opaque.
    """
    weight, order = keys.root("readout"), keys.root("perm_neurons")
    if weight is None:
        return None
    n_states, n_neurons = states.shape[-1], counts.shape[-1]
    if weight.shape != (n_states, n_neurons) or not (counts > 0).all():
        return Readout.opaque()
    x, y = states.reshape(-1, n_states).astype(np.float64), np.log(counts.reshape(-1, n_neurons))
    permuted = [weight[:, order.astype(int)]] if order is not None and order.shape == (n_neurons,) else []
    for candidate in (weight.astype(np.float64), *permuted):
        drive = x @ candidate
        centred, target = drive - drive.mean(0), y - y.mean(0)
        variance = (centred**2).mean(0)
        gain = (centred * target).mean(0) / np.where(variance > 0, variance, 1.0)
        if np.abs(centred * gain - target).max() < 1e-4 * (1.0 + np.abs(y).max()):
            bias = y.mean(0) - gain * drive.mean(0)
            return Readout([Layer((candidate * gain).T, bias, "exp")], scale=1.0 / bin_width_s)
    return Readout.opaque()
