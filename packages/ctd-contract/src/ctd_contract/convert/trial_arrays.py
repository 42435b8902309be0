"""Named arrays of trials, as in `.npz` and `.mat` files, under the contract's names or those of MR-SDS."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ctd_contract.errors import ContractError, ContractWarning
from ctd_contract.schema import SIGNALS, SPLITS

from .design import Design
from .select import Selection, Value, select
from .trials import Trials, needed_bin_width, same_leading_axes

DATA = ("spikes", "activity", "ys")
# Names of MR-SDS and what they are in a recording.
ALIASES = {"ys": "data", "us": "inputs", "xs": "truth/states", "zs": "truth/mode", "lengths": "length"}
SIGNAL_NAMES = tuple(
    name for name, spec in SIGNALS.items() if "recording" in spec.kinds and name not in ("spikes", "activity")
)
TRUTH_NAMES = tuple(name for name, spec in SIGNALS.items() if spec.truth)
VECTORS = ("split", "length", "trial", "neuron", "time", "held_out", "forward", "condition", "region")
SCALARS = ("bin_width", "bin_width_s")
SIZES = {"region_sizes": "neuron", "latent_region_sizes": "state"}
OF_TRIALS = ("split", "length", "trial", "condition")
# Free columns: `trials/block`, `neurons/depth`.
TABLES = {"trials": "trial", "neurons": "neuron"}


def recognises(names: Iterable[str]) -> bool:
    """Whether arrays of these names hold trials."""
    return bool(set(DATA) & set(names))


def to_trials(
    variables: Mapping[str, Value],
    where: str,
    *,
    bin_width_s: float | None,
    design: Design,
    selection: Selection,
    first_channel: int,
) -> Trials:
    """Make trials of named variables.

    `spikes`, `activity` or `ys` (trial, time, neuron), and optionally any signal of a recording; `us`; the
    truth as `truth/rates` or `truth_rates` (spikes/s), `truth/states` or `xs`, ...; `split` (0, 1, 2 or
    train, valid, test; otherwise drawn by the seed), `length`, `trial`, `neuron`, `time`, `held_out`,
    `forward`, `condition` and `region` (codes, names, or values that tell them apart), `region_sizes`,
    `bin_width` (s), and columns `trials/<name>`, `neurons/<name>`. A list of (time, channel) arrays
    is padded.

    Args:
        variables: The source's, by name; structures as dicts.
        where: The source, for errors.
        bin_width_s: Width of a bin in s, where the source is silent.
        design: Draws the splits where the source has none.
        selection: What is taken of the variables.
        first_channel: What the source calls its first channel.

    Raises:
        ContractError: Data are missing, or arrays disagree.
    """
    called = {_canonical(name): name for name in [*variables, *selection.names]}
    found = select(
        variables,
        selection,
        where,
        canonical=_canonical,
        per_trial=_is_per_trial,
        first_channel=first_channel,
    )
    if "data" not in found:
        raise _without_data(where, variables)
    sizes: dict[str, int] = {}
    data, lengths = _padded(f"{where}:{called['data']}", found.pop("data"))
    data = same_leading_axes(where, called["data"], _with_channel(data), SIGNALS["spikes"].axes, sizes)
    free = _free_columns(found, where, sizes)
    vectors, given = _vectors(found)
    if lengths is not None and (lengths < sizes["time"]).any():
        vectors.setdefault("length", lengths)
    width, start = _bin_width(found, vectors.pop("time", None), bin_width_s, where, sizes)
    split = _split(vectors.pop("split", None), where, sizes["trial"], design)
    trials = Trials(data, width, split, start_s=start)
    trials.trial, trials.neuron = vectors.pop("trial", None), vectors.pop("neuron", None)
    for name in [name for name in found if _target(name) is not None]:
        folder, leaf = _target(name) or ("", "")
        values = _signal(where, called[name], leaf, found.pop(name), sizes, lengths)
        (trials.truth if folder == "truth" else trials.signals)[leaf] = values
    columns, names = _tables(found, vectors, where, sizes)
    trials.columns = columns | free
    trials.names = names | given
    if found:
        listed = ", ".join(sorted(found))
        warnings.warn(f"{where}: no place in a recording, left out: {listed}", ContractWarning, stacklevel=2)
    return trials


def _without_data(where: str, variables: Mapping[str, Value]) -> ContractError:
    return ContractError(
        "CTD702",
        where,
        f"trials under one of {', '.join(DATA)}, axes (trial, time, neuron)",
        ", ".join(sorted(variables)) or "nothing",
        "save the counts as spikes, or say which variable holds them with --map spikes=VARIABLE",
    )


def _vectors(found: dict) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """Take out what has one entry for each trial, bin or neuron; codes of labels, and what they stand for."""
    labels = {name: _codes(found.pop(name)) for name in ("condition", "region") if name in found}
    vectors = {name: np.ravel(np.asarray(found.pop(name))) for name in VECTORS if name in found}
    vectors |= {name: codes for name, (codes, _) in labels.items()}
    return vectors, {axis: names for axis, (_, names) in labels.items() if names}


def _is_per_trial(name: str) -> bool:
    folder, _, leaf = name.rpartition("/")
    if folder == "trials" or (not folder and leaf in OF_TRIALS):
        return True
    return leaf in SIGNALS and SIGNALS[leaf].axes[0] == "trial" and "time" not in SIGNALS[leaf].axes


def _free_columns(found: dict, where: str, sizes: dict[str, int]) -> dict[tuple[str, str], np.ndarray]:
    """Take out the columns that a table has no meaning for; of several channels each is one column."""
    columns: dict[tuple[str, str], np.ndarray] = {}
    for name in [name for name in found if name.rpartition("/")[0] in TABLES]:
        table, _, column = name.rpartition("/")
        values = np.asarray(found.pop(name))
        if values.ndim not in (1, 2) or len(values) != sizes[TABLES[table]]:
            expected = f"{sizes[TABLES[table]]} entries, one for each {TABLES[table]}"
            fix = "name another variable, or leave the column out"
            raise ContractError("CTD703", f"{where}:{name}", expected, str(values.shape), fix)
        if values.ndim == 1:
            columns[table, column] = values
        else:
            columns |= {(table, f"{column}_{i}"): values[:, i] for i in range(values.shape[1])}
    return columns


def _codes(labels: Value) -> tuple[np.ndarray, list[str]]:
    """Codes of labels and, unless they are codes already, what each stands for.

    Names are coded in the order of the alphabet, rows of numbers in that of their values.
    """
    array = np.asarray(labels)
    plain = np.ravel(array) if array.ndim < 2 or 1 in array.shape else array
    whole = plain.dtype.kind in "biu" or (plain.dtype.kind == "f" and not (plain % 1).any())
    if whole and plain.ndim == 1:
        return plain, []
    values, codes = np.unique(plain, axis=0, return_inverse=True)
    return np.ravel(codes).astype(np.int32), [_text(value) for value in values.tolist()]


def _text(entry: object) -> str:
    if isinstance(entry, list):
        return f"({', '.join(map(_text, entry))})"
    return f"{entry:.6g}" if isinstance(entry, int | float) else str(entry)


def _canonical(name: str) -> str:
    if name in DATA:
        return "data"
    if name.startswith("truth_"):
        return f"truth/{name.removeprefix('truth_')}"
    return ALIASES.get(name, name)


def _target(name: str) -> tuple[str, str] | None:
    """Return folder and name of a signal in the recording, or None when it isn't one."""
    folder, _, leaf = name.rpartition("/")
    if folder == "truth" or (not folder and leaf not in SIGNAL_NAMES):
        return ("truth", leaf) if leaf in TRUTH_NAMES else None
    return ("signals", leaf) if not folder else None


def _padded(where: str, value: np.ndarray | Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """Return trials of unequal length as one array, zero past their ends, and their lengths."""
    if isinstance(value, np.ndarray):
        return value, None
    parts = [np.atleast_2d(np.asarray(part)) for part in value]
    channels = {part.shape[1:] for part in parts}
    if len(channels) != 1 or any(part.dtype.kind not in "biuf" for part in parts):
        got = f"trials of {len(channels)} kinds of shape" if parts else "no trials"
        fix = "give every trial as numbers (time, channel)"
        raise ContractError("CTD703", where, "trials with the same channels", got, fix)
    lengths = np.array([len(part) for part in parts], np.int32)
    dtype = np.result_type(*parts)
    padded = np.zeros((len(parts), int(lengths.max()), *channels.pop()), dtype)
    for row, part in zip(padded, parts, strict=True):
        row[: len(part)] = part
    return padded, lengths


def _with_channel(array: np.ndarray) -> np.ndarray:
    # MATLAB drops a last axis of one channel.
    return array[..., None] if array.ndim == 2 else array


def _signal(
    where: str,
    name: str,
    leaf: str,
    value: np.ndarray | Sequence[np.ndarray],
    sizes: dict[str, int],
    lengths: np.ndarray | None,
) -> np.ndarray:
    """Return a signal with the axes that the contract gives it, its trials as long as the data's."""
    values, own = _padded(f"{where}:{name}", value)
    if own is not None and lengths is not None and not np.array_equal(own, lengths):
        fix = "mend one of the two"
        raise ContractError("CTD703", f"{where}:{name}", "trials as long as the data's", "others", fix)
    axes = SIGNALS[leaf].axes
    return same_leading_axes(where, name, _with_channel(values) if len(axes) == 3 else values, axes, sizes)


def _bin_width(
    found: dict, time: np.ndarray | None, given: float | None, where: str, sizes: dict[str, int]
) -> tuple[float, float]:
    """Return bin width and start of the first bin in s."""
    stated = [float(np.ravel(found.pop(name))[0]) for name in SCALARS if name in found]
    if time is None:
        return needed_bin_width(given, stated[0] if stated else None, where), 0.0
    same_leading_axes(where, "time", time, ("time",), sizes)
    steps = np.diff(time.astype(np.float64))
    width = needed_bin_width(
        given, round(float(np.median(steps)), 12) if len(steps) else (stated or [None])[0], where
    )
    if len(steps) and np.abs(steps - width).max() > 1e-3 * width:
        got = f"steps from {steps.min():g} to {steps.max():g} s"
        raise ContractError(
            "CTD703", f"{where}:time", f"bins of {width:g} s", got, "bin the data evenly, in s"
        )
    return width, float(time[0])


def _split(split: np.ndarray | None, where: str, n_trials: int, design: Design) -> np.ndarray:
    if split is None:
        return design.split(n_trials)
    design.refuse_split(f"{where}:split")
    names = [value.decode() if isinstance(value, bytes) else value for value in split.tolist()]
    codes = [SPLITS.get(value.strip().lower(), -1) if isinstance(value, str) else value for value in names]
    if len(codes) != n_trials or not set(codes) <= set(SPLITS.values()):
        fix = "save it as numbers 0, 1, 2"
        got = f"{len(codes)} entries: {', '.join(map(str, sorted(set(names))[:6]))}"
        raise ContractError("CTD703", f"{where}:split", f"{n_trials} of train, valid, test", got, fix)
    return np.array(codes, np.uint8)


def _tables(
    found: dict, vectors: dict[str, np.ndarray], where: str, sizes: dict[str, int]
) -> tuple[dict[tuple[str, str], np.ndarray], dict[str, list[str]]]:
    """Return columns and names of regions and conditions."""
    axis_of = {"length": "trial", "condition": "trial", "forward": "time"}
    columns: dict[tuple[str, str], np.ndarray] = {}
    names: dict[str, list[str]] = {}
    for name, values in vectors.items():
        axis = axis_of.get(name, "neuron")
        same_leading_axes(where, name, values, (axis,), dict(sizes))
        columns[f"{axis}s", name] = values.astype(np.uint8 if name in ("held_out", "forward") else np.int32)
    for name, axis in SIZES.items():
        if name not in found or axis not in sizes:
            continue
        counts = np.ravel(np.asarray(found.pop(name))).astype(np.int64)
        if counts.sum() != sizes[axis]:
            fix = f"list how many entries of the {axis} axis each region has"
            got = f"{counts.tolist()}, {counts.sum()} in all"
            raise ContractError("CTD703", f"{where}:{name}", f"sizes that add up to {sizes[axis]}", got, fix)
        columns[f"{axis}s", "region"] = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    for axis, column in (("region", ("neurons", "region")), ("condition", ("trials", "condition"))):
        if column in columns and columns[column].size:
            names[axis] = [f"{axis} {i}" for i in range(int(columns[column].max()) + 1)]
    return columns, names
