"""The HDF5 layout of lfads-torch, both ways.

`{split}_encod_data` is spikes[split, ~forward, ~held_out], `{split}_recon_data` is spikes[split],
`{split}_ext_input` the inputs, `{split}_truth` / `conversion_factor` the true rates × bin width (of
continuous data their true mean). Older files with `{split}_data` in place of the first two are read as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np

from ctd_contract.atomic import AtomicFile
from ctd_contract.errors import ContractError
from ctd_contract.reader import ContractFile
from ctd_contract.schema import SPLITS

from .design import Design
from .split_keys import open_split_keys
from .trials import Trials, needed_bin_width, observations, rates_per_second

NAME = "lfads-torch"


def recognises(names: Iterable[str]) -> bool:
    """Whether a file with these keys is of this layout."""
    names = set(names)
    return "train_data" in names or {"train_encod_data", "train_recon_data"} <= names


def read(path: Path, *, bin_width_s: float | None, design: Design) -> Trials:
    """Read a file of this layout.

    Args:
        path: The file.
        bin_width_s: Width of a bin in s; needed unless the file was written by `write`.
        design: Makes three splits when the file has two.

    Raises:
        ContractError: A key is missing, arrays disagree, or the bin width isn't known.
    """
    with open_split_keys(path) as keys:
        width = needed_bin_width(bin_width_s, keys.attribute("bin_width"), path.name)
        signals = {
            "inputs": keys.get("ext_input", axes=("trial", "time", "input")),
            "behavior": keys.get("behavior", axes=("trial", "time", "behavior")),
        }
        states = keys.get("latents", "lowd", axes=("trial", "time", "state"))
        truth = {} if states is None else {"states": states}
        rates = keys.get("truth", axes=("trial", "time", "neuron"))
        factor = keys.root("conversion_factor")
        if rates is not None:
            scaled = rates / (1.0 if factor is None else float(factor.ravel()[0]))
            if observations(keys.data)[0] == "spikes":
                truth["rates"] = rates_per_second(scaled, keys.data, width, f"{path.name}:train_truth")
            else:
                truth["activity_prediction"] = scaled
        trial, columns = keys.trial_ids()
        neuron = keys.root("neuron_inds")
        start = keys.attribute("start")
        keys.warn_of_unused()
        return Trials(
            keys.data,
            width,
            keys.three_splits(design),
            signals={name: array for name, array in signals.items() if array is not None},
            truth=truth,
            columns={**columns, **keys.masks()},
            trial=trial,
            neuron=neuron,
            start_s=start or 0.0,
        )


def write(recording: ContractFile, target: Path, *, overwrite: bool) -> None:
    """Write a recording in this layout, block by block; held-out neurons come last.

    Beyond the layout the file holds `{split}_latents` (true states), `{split}_inds` (trial ids),
    `neuron_inds` (neuron ids) and the attributes `bin_width` and `start` (s); test has reconstruction
    data and truth, too, where the recording has them.

    Raises:
        ContractError: The layout has no place for what the recording holds, or `target` exists.
    """
    _check(recording)
    atomic = AtomicFile(target, overwrite=overwrite)
    with atomic.undone_on_error():
        _fill(atomic.file, recording)
        atomic.commit()


def _check(recording: ContractFile) -> None:
    """Refuse what this layout can't say."""
    where = recording.path.name
    if recording.kind != "recording":
        raise ContractError("CTD705", where, "a recording", f"kind {recording.kind}", "convert its recording")
    if (recording.lengths < recording.sizes["time"]).any():
        fix = "crop the trials to one length first"
        raise ContractError("CTD705", where, "trials of one length", "shorter trials with padding", fix)
    if (np.diff(recording.forward.astype(int)) < 0).any():
        fix = "forward bins must come last in this layout"
        raise ContractError("CTD705", f"{where}:/times/forward", "forward bins last", "bins after them", fix)
    if _withheld(recording) == "encoder":
        fix = "this layout has no mask: drop the trials or neurons"
        raise ContractError(
            "CTD705", f"{where}:/signals/observed", "bins that were all observed", "others", fix
        )


def _withheld(recording: ContractFile) -> str:
    """Return what wasn't observed: nothing, only what test's encoder doesn't see anyway, or encoder data."""
    if "observed" not in recording.signals:
        return ""
    scored = np.ix_(~recording.forward, ~recording.held_out)
    test, found = recording.split("test"), ""
    for rows, block in recording.blocks("observed"):
        missing = block["observed"] == 0
        if missing[:, *scored].any() or missing[~test[rows]].any():
            return "encoder"
        found = "test" if missing.any() else found
    return found


def _fill(file: h5py.File, recording: ContractFile) -> None:
    file.attrs["bin_width"] = recording.bin_width_s
    file.attrs["start"] = float(recording.time[0]) if len(recording.time) else 0.0
    order = np.argsort(recording.held_out, kind="stable")
    file["neuron_inds"] = recording.axis("neuron")[order]
    codes = recording.tables["trials"]["split"]
    for split, code in SPLITS.items():
        file[f"{split}_inds"] = recording.axis("trial")[codes == code]
    main = "spikes" if "spikes" in recording.signals else "activity"
    known = {main: "recon_data", "inputs": "ext_input", "behavior": "behavior"}
    sources = {name: key for name, key in known.items() if name in recording.signals}
    known_truth = {"rates" if main == "spikes" else "activity_prediction": "truth", "states": "latents"}
    sources |= {f"truth/{name}": key for name, key in known_truth.items() if name in recording.truth}
    hidden = {"recon_data", "truth"} if _withheld(recording) == "test" else set()
    for rows, block in recording.blocks(*sources):
        for split, code in SPLITS.items():
            chosen = codes[rows] == code
            arrays = {key: block[name][chosen].astype(np.float32) for name, key in sources.items()}
            _append(file, split, _ordered(arrays, order, recording), hidden if split == "test" else set())


def _ordered(
    arrays: dict[str, np.ndarray], order: np.ndarray, recording: ContractFile
) -> dict[str, np.ndarray]:
    """Put held-out neurons last, cut out encoder data, and express rates as counts per bin."""
    full = arrays["recon_data"][:, :, order]
    n_bins, n_seen = np.count_nonzero(~recording.forward), np.count_nonzero(~recording.held_out)
    result = {**arrays, "encod_data": full[:, :n_bins, :n_seen], "recon_data": full}
    if "truth" in arrays:
        unit = recording.bin_width_s if "spikes" in recording.signals else 1.0
        result["truth"] = arrays["truth"][:, :, order] * np.float32(unit)
    return result


def _append(file: h5py.File, split: str, arrays: dict[str, np.ndarray], hidden: set[str]) -> None:
    for name in arrays.keys() - hidden:
        key, block = f"{split}_{name}", arrays[name]
        if key not in file:
            file.create_dataset(key, data=block, maxshape=(None, *block.shape[1:]), chunks=_chunks(block))
            continue
        dataset = file[key]
        if isinstance(dataset, h5py.Dataset) and len(block):
            start = len(dataset)
            dataset.resize(start + len(block), axis=0)
            dataset[start:] = block


def _chunks(block: np.ndarray) -> tuple[int, ...]:
    row = max(1, int(np.prod(block.shape[1:])) * block.itemsize)
    return (max(1, 2**18 // row), *(max(1, size) for size in block.shape[1:]))
