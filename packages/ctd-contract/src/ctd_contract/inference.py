"""One call that lets any model in: what it inferred from a recording, as a contract file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .errors import ContractError
from .padding import zero_padding
from .reader import ContractFile
from .reader import open as open_file
from .schema import TABLES, signal_spec
from .writer import Writer, create

if TYPE_CHECKING:
    from .dynamics import Dynamics, Probe
    from .readout import Readout


def write_inference(
    path: str | os.PathLike[str],
    recording: ContractFile | str | os.PathLike[str],
    *,
    model: str,
    name: str | None = None,
    trial: ArrayLike | None = None,
    dynamics: Dynamics | None = None,
    probe: Probe | None = None,
    readout: Readout | None = None,
    units: Mapping[str, str] | None = None,
    columns: Mapping[tuple[str, str], ArrayLike] | None = None,
    config: Mapping[str, Any] | None = None,
    seed: int | None = None,
    run: str | None = None,
    producer: str | None = None,
    overwrite: bool = False,
    **signals: ArrayLike | None,
) -> None:
    """Write what a model inferred from the trials of a recording.

    The recording's splits, lengths, held-out neurons, forward bins, regions and names are copied.

    Args:
        path: The file to write.
        recording: The recording, open or by its path; it becomes the file's parent.
        model: What the model is called, `"lfads"`.
        name: Short name of this fit; that of the model by default.
        trial: Ids of the trials in the arrays' order; by default all of the recording's, in its order.
        dynamics: The model's vector field. The recording's `inputs` are copied when its u needs them.
        probe: Its proof, evaluated by the model's own framework; needed for all kinds but opaque.
        readout: The chain from state to rate.
        units: Of signals that have their own, by name.
        columns: Further columns, `("states", "region")` to its values.
        config: The model's configuration, JSON-compatible.
        seed: Of the fit.
        run: One id for all files of one run.
        producer: Program and version; `model` by default.
        overwrite: Replace an existing file.
        **signals: Arrays by the contract's names, axes (trial, time, ...): `rates` (spikes/s, all
            neurons), `states`, `factors`, `inferred_inputs`, `initial_state`, `outputs`, `rates_std`,
            `forecast_5`, ... None leaves one out.

    Raises:
        ContractError: An array's axes don't fit the recording, a trial isn't in it, a name is
            unknown, or the dynamics miss their probe.

    Example:
        >>> write_inference("fit.h5", "recording.h5", model="smoothing 1.0", rates=rates)  # doctest: +SKIP
    """
    header = {"name": name or model, "producer": producer or model, "seed": seed, "run": run}
    settings = {"model": model, **(config or {})}
    with _opened(recording) as source:
        rows = _rows(source, trial)
        arrays = _arrays(source, rows, signals, dynamics)
        _check(os.path.basename(path), source, len(rows), arrays, dynamics, readout)
        with _create(path, source, rows, config=settings, overwrite=overwrite, **header) as writer:
            _write_signals(writer, source, rows, arrays, units or {})
            _copy_tables(writer, source, rows, columns or {})
            _write_system(writer, dynamics, probe, readout)


def _opened(
    recording: ContractFile | str | os.PathLike[str],
) -> contextlib.AbstractContextManager[ContractFile]:
    """The recording; one that was given open stays so."""
    return contextlib.nullcontext(recording) if isinstance(recording, ContractFile) else open_file(recording)


def _rows(source: ContractFile, trial: ArrayLike | None) -> np.ndarray:
    """Rows of the recording that the model's trials are."""
    ids = source.axis("trial")
    if trial is None:
        return np.arange(len(ids))
    position = {int(value): row for row, value in enumerate(ids)}
    wanted = np.asarray(trial).ravel().tolist()
    missing = [value for value in wanted if value not in position]
    if missing:
        raise ContractError(
            "CTD606",
            f"{source.path.name}:/trial",
            "every trial of the model among the recording's",
            f"{len(missing)} that aren't: {', '.join(map(str, missing[:5]))}",
            "pass the recording's own ids as trial=",
        )
    return np.array([position[value] for value in wanted], dtype=np.int64)


def _arrays(
    source: ContractFile,
    rows: np.ndarray,
    signals: Mapping[str, ArrayLike | None],
    dynamics: Dynamics | None,
) -> dict[str, np.ndarray]:
    """The signals that were given, and the recording's inputs where the dynamics need them."""
    arrays = {key: np.asarray(value) for key, value in signals.items() if value is not None}
    if dynamics is not None and "inputs" in dynamics.inputs and "inputs" in source.signals:
        arrays.setdefault("inputs", source.signals["inputs"][:][rows])
    return arrays


def _check(
    file: str,
    source: ContractFile,
    n_trials: int,
    arrays: Mapping[str, np.ndarray],
    dynamics: Dynamics | None,
    readout: Readout | None,
) -> None:
    """Refuse what doesn't fit before anything is written, naming both sizes."""
    sizes = {**{axis: source.sizes[axis] for axis in ("time", "neuron")}, "trial": n_trials}
    for key, array in arrays.items():
        spec = signal_spec(key)
        if spec is not None:
            _check_axes(f"{file}:/signals/{key}", array.shape, spec.axes, sizes)
            _check_finite(f"{file}:/signals/{key}", array)
    if dynamics is not None:
        _check_dynamics(f"{file}:/dynamics", arrays, dynamics)
    if readout is not None and readout.layers:
        got = (readout.layers[0].weight.shape[1], readout.layers[-1].weight.shape[0])
        expected = (sizes.get("state", got[0]), sizes["neuron"])
        if got != expected:
            text = "from {} states to {} neurons"
            fix = "take the weights (out, in)"
            raise ContractError("CTD407", f"{file}:/readout", text.format(*expected), text.format(*got), fix)


def _check_axes(where: str, shape: Sequence[int], axes: Sequence[str], sizes: dict[str, int]) -> None:
    """Compare a shape with the axes known so far; an axis met for the first time is added to `sizes`."""
    if len(shape) == len(axes):
        for axis, size in zip(axes, shape, strict=True):
            sizes.setdefault(axis, size)
    if tuple(shape) != tuple(sizes.get(axis) for axis in axes):
        expected = ", ".join(f"{axis}={sizes[axis]}" if axis in sizes else axis for axis in axes)
        fix = "give every trial of the recording, or trial= with the ids of those given"
        raise ContractError("CTD203", where, f"axes ({expected})", str(tuple(shape)), fix)


def _check_finite(where: str, array: np.ndarray) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        got = f"{np.count_nonzero(~np.isfinite(array))} that aren't"
        raise ContractError(
            "CTD303", where, "finite values", got, "leave out the trials that failed, with trial="
        )


def _check_dynamics(where: str, arrays: Mapping[str, np.ndarray], dynamics: Dynamics) -> None:
    """Refuse dynamics that don't fit the states and the signals of u; the writer checks the probe."""
    missing = [key for key in dynamics.inputs if key not in arrays]
    if missing:
        got = f"no {', '.join(missing)}"
        raise ContractError("CTD405", where, "every signal of u in the file", got, "pass it as an argument")
    width = sum(arrays[key].shape[-1] for key in dynamics.inputs)
    states = arrays["states"].shape[-1] if "states" in arrays else dynamics.state_size
    if dynamics.kind != "opaque" and (states, width) != (dynamics.state_size, dynamics.input_size):
        expected = f"dynamics of {states} states and {width} inputs ({', '.join(dynamics.inputs)})"
        raise ContractError("CTD406", where, expected, repr(dynamics), "check the weights and inputs=")


def _create(path: str | os.PathLike[str], source: ContractFile, rows: np.ndarray, **header: Any) -> Writer:
    """Start a file with the recording's axes, `rows` of its trials, and the recording as parent."""
    return create(
        path,
        "inference",
        trial=source.axis("trial")[rows],
        time=source.time,
        bin_width_s=source.bin_width_s,
        axes={"neuron": source.axis("neuron")},
        parents=[source.parent("recording")],
        **header,
    )


def _write_signals(
    writer: Writer,
    source: ContractFile,
    rows: np.ndarray,
    arrays: Mapping[str, np.ndarray],
    units: Mapping[str, str],
) -> None:
    """Write arrays, those over time with zeros past each trial's length."""
    lengths = source.lengths[rows]
    for key, values in arrays.items():
        spec = signal_spec(key)
        if spec is not None and spec.axes[1] == "time":
            values = zero_padding(values, lengths)
        writer.signal(key, values, unit=units.get(key) or _inherited_unit(source, key))


def _inherited_unit(source: ContractFile, key: str) -> str | None:
    """Unit of a signal that shares that of the recording."""
    origin = {"activity_prediction": "activity", "behavior_prediction": "behavior", "inputs": "inputs"}.get(
        key
    )
    return source.signals[origin].unit if origin in source.signals else None


def _copy_tables(
    writer: Writer, source: ContractFile, rows: np.ndarray, own: Mapping[tuple[str, str], ArrayLike]
) -> None:
    """Copy columns of the axes that both files have, and their names; phases too."""
    for (table, column), values in own.items():
        writer.column(table, column, values)
    for axis in ("region", "condition"):
        if axis in source.sizes and axis not in writer.sizes:
            writer.axis(axis, source.axis(axis))
    shared = [
        t
        for t in ("trials", "times", "neurons", "inputs", "behaviors", "regions", "conditions")
        if t in source.tables
    ]
    for table in shared:
        if TABLES[table].name not in writer.sizes:
            continue
        for column, values in source.tables[table].items():
            if (table, column) not in own:
                writer.column(table, column, values[rows] if table == "trials" else values)
    for phase, bounds in source.phases.items():
        writer.phase(phase, bounds[rows])


def _write_system(
    writer: Writer, dynamics: Dynamics | None, probe: Probe | None, readout: Readout | None
) -> None:
    if dynamics is not None:
        writer.dynamics(dynamics, probe)
    if readout is not None:
        writer.readout(readout)
