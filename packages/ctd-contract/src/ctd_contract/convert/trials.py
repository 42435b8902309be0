"""What every converter reads into: the trials of one session, then written as a recording."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ctd_contract.dynamics.nonlinearity import FloatArray
from ctd_contract.errors import ContractError
from ctd_contract.padding import zero_padding
from ctd_contract.readout import Readout
from ctd_contract.schema import SIGNALS
from ctd_contract.writer import create


@dataclass
class Trials:
    """The trials of one session in memory.

    Attributes:
        data: (trial, time, neuron) counts or continuous observations; NaN where not observed.
        bin_width_s: Width of a bin in s.
        split: uint8 (trial,).
        signals: Further arrays under /signals, by name: `inputs`, `behavior`, ...
        truth: Arrays under /truth, by name: `rates` (spikes/s), `states`, ...
        columns: Table and column to values, `("neurons", "held_out")`.
        names: Axis to the names of its entries.
        units: Signal to its unit, for those that have their own.
        trial: Ids; from 0 by default.
        neuron: Ids; from 0 by default.
        start_s: Start of the first bin.
        readout: How true states became rates.
    """

    data: np.ndarray
    bin_width_s: float
    split: np.ndarray
    signals: dict[str, np.ndarray] = field(default_factory=dict)
    truth: dict[str, np.ndarray] = field(default_factory=dict)
    columns: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    trial: np.ndarray | None = None
    neuron: np.ndarray | None = None
    start_s: float = 0.0
    readout: Readout | None = None


def sort_by_region(trials: Trials) -> None:
    """Put the neurons of each region together, as the contract has them; their ids stay theirs."""
    region = trials.columns.get(("neurons", "region"))
    if region is None or (np.diff(region) >= 0).all():
        return
    order = np.argsort(region, kind="stable")
    trials.neuron = (np.arange(len(order)) if trials.neuron is None else trials.neuron)[order]
    trials.data = trials.data[..., order]
    for arrays in (trials.signals, trials.truth):
        arrays |= {n: a[..., order] for n, a in arrays.items() if SIGNALS[n].axes[-1] == "neuron"}
    trials.columns |= {k: v[order] for k, v in trials.columns.items() if k[0] == "neurons"}
    if "neuron" in trials.names:
        trials.names["neuron"] = [trials.names["neuron"][i] for i in order]


def observations(data: np.ndarray) -> tuple[str, np.ndarray, np.ndarray | None]:
    """Tell counts from continuous observations, and what was observed.

    Args:
        data: (trial, time, neuron), NaN where not observed.

    Returns:
        `spikes` or `activity`; the values in the smallest type that holds them, zero where not
        observed; and uint8 1 where observed, or None when everything was.
    """
    data = np.asarray(data)
    if data.dtype.kind == "b":
        data = data.astype(np.uint8)
    missing = np.isnan(data) if data.dtype.kind == "f" else np.zeros((), bool)
    values = np.where(missing, 0, data) if missing.any() else data
    observed = (~missing).astype(np.uint8) if missing.any() else None
    counts = values.size == 0 or bool((values >= 0).all() and (values == np.floor(values)).all())
    if counts and values.max(initial=0) <= np.iinfo(np.uint16).max:
        return "spikes", values.astype(np.uint8 if values.max(initial=0) < 256 else np.uint16), observed
    return "activity", values.astype(np.float32), observed


def rates_per_second(truth: np.ndarray, counts: np.ndarray, bin_width_s: float, where: str) -> FloatArray:
    """Return true rates in spikes/s, whether they came so or as expected counts per bin.

    The unit isn't stated in these formats, so it is the one in which the rates match the counts.

    Raises:
        ContractError: Neither matches.
    """
    expected, got = float(np.nanmean(counts)), float(np.mean(truth))
    ratios = {"count": expected / got if got > 0 else 0.0}
    ratios["spikes/s"] = ratios["count"] / bin_width_s
    factors = {"count": 1.0 / bin_width_s, "spikes/s": 1.0}
    fitting = [unit for unit, ratio in ratios.items() if 0.5 < ratio < 2.0]
    if not fitting:
        raise ContractError(
            "CTD704",
            where,
            f"rates whose mean fits {expected:.4g} counts a bin of {bin_width_s:g} s",
            f"a mean of {got:.4g}",
            "state the bin width of the data, or mend the scale of the rates",
        )
    unit = min(fitting, key=lambda unit: abs(np.log(ratios[unit])))
    return np.asarray(truth, dtype=np.float64) * factors[unit]


def write_recording(
    trials: Trials,
    source: Path,
    target: Path,
    *,
    name: str | None,
    config: Mapping[str, object],
    seed: int,
    overwrite: bool,
) -> None:
    """Write the trials as a contract recording.

    Args:
        trials: The trials.
        source: Where they come from.
        target: The file to write.
        name: Of the recording; that of the source by default.
        config: What they were converted with, for provenance.
        seed: Of what was drawn.
        overwrite: Replace an existing target.

    Raises:
        ContractError: An array doesn't fit the others, or `target` exists.
    """
    kind, values, observed = observations(trials.data)
    writer = create(
        target,
        "recording",
        name=name or source.stem,
        producer=f"ctd-contract {importlib.metadata.version('ctd-contract')}",
        trial=trials.data.shape[0] if trials.trial is None else trials.trial,
        time=trials.start_s + trials.bin_width_s * np.arange(trials.data.shape[1]),
        bin_width_s=trials.bin_width_s,
        axes={"neuron": trials.data.shape[2] if trials.neuron is None else trials.neuron},
        config={**config, "source": source.name, "source_sha256": _sha256(source)},
        seed=seed,
        overwrite=overwrite,
    )
    columns = {("neurons", "held_out"): np.zeros(trials.data.shape[2], np.uint8), **trials.columns}
    lengths = columns.get(("trials", "length"), np.full(len(values), values.shape[1]))
    signals = {kind: values, **trials.signals} | ({} if observed is None else {"observed": observed})
    with writer:
        for write, arrays in ((writer.signal, signals), (writer.truth, trials.truth)):
            for signal, array in arrays.items():
                timed = SIGNALS[signal].axes[1] == "time"
                padded = zero_padding(array, lengths) if timed else array
                write(signal, padded, unit=trials.units.get(signal))
        writer.column("trials", "split", trials.split)
        for axis, names in trials.names.items():
            if axis not in writer.sizes:
                writer.axis(axis, len(names))
            writer.names(axis, names)
        for (table, column), array in columns.items():
            writer.column(table, column, array)
        if trials.readout is not None:
            writer.truth_readout(trials.readout)


def needed_bin_width(given: float | None, found: float | None, where: str) -> float:
    """Return the bin width that the caller states, or else the one that the source does."""
    width = found if given is None else given
    if width is None:
        fix = "pass --bin-width with the width of a bin in s"
        raise ContractError("CTD704", where, "a bin width", "none in the file", fix)
    if not np.isfinite(width) or width <= 0:
        fix = "pass --bin-width with the width of a bin in s"
        raise ContractError("CTD704", where, "a bin width above 0 s", f"{width!r}", fix)
    return float(width)


def same_leading_axes(
    where: str, name: str, array: np.ndarray, axes: Sequence[str], sizes: dict[str, int]
) -> np.ndarray:
    """Return `array` when it has one axis for each of `axes`, of the sizes known; new sizes are noted."""
    if array.ndim == len(axes) and array.dtype.kind in "biuf":
        for axis, size in zip(axes, array.shape, strict=True):
            sizes.setdefault(axis, size)
    if array.dtype.kind not in "biuf" or array.shape != tuple(sizes.get(axis) for axis in axes):
        expected = ", ".join(f"{axis}={sizes[axis]}" if axis in sizes else axis for axis in axes)
        raise ContractError(
            "CTD703",
            f"{where}:{name}",
            f"numbers with axes ({expected})",
            f"{array.dtype} {array.shape}",
            "mend the array, or rename it if it is something else",
        )
    return array


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
