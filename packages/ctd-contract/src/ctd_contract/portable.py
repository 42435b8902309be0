"""Dynamics and readouts in files: parameters as float64 arrays, the rest as attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from . import hdf5
from .casting import cast
from .errors import ContractError
from .inventory import Inventory

if TYPE_CHECKING:
    from .dynamics import Dynamics, Probe
    from .readout import Readout


class Target(Protocol):
    """What a writer offers here: `group` sets attributes, `array` writes a whole array."""

    def at(self, path: str) -> str: ...  # noqa: D102
    def group(self, path: str, attributes: Mapping[str, Any]) -> None: ...  # noqa: D102
    def array(self, path: str, values: np.ndarray) -> None: ...  # noqa: D102


def write_dynamics(target: Target, place: str, dynamics: Dynamics, probe: Probe | None) -> None:
    """Write dynamics under ``<place>dynamics``, with the probe that proves them."""
    path = f"{place}dynamics"
    if probe is None and dynamics.kind != "opaque":
        fix = "evaluate Probe.points in your own framework, in float64"
        raise ContractError("CTD403", target.at(path), "a probe", "none", fix)
    if probe is not None:
        _check_probe(dynamics, probe, target.at(path))
    target.group(path, {**dynamics.attributes, "kind": dynamics.kind})
    _arrays(target, f"{path}/parameters", dynamics.parameters)
    if probe is not None:
        _arrays(target, f"{path}/probe", vars(probe))


def write_readout(target: Target, place: str, readout: Readout) -> None:
    """Write a readout under ``<place>readout``."""
    path = f"{place}readout"
    if readout.is_opaque:
        target.group(path, {"kind": "opaque"})
        return
    target.group(path, {"kind": "chain", "scale": float(readout.scale)})
    for index, layer in enumerate(readout.layers):
        target.group(f"{path}/layer_{index}", {"nonlinearity": layer.nonlinearity})
        _arrays(target, f"{path}/layer_{index}", {"weight": layer.weight, "bias": layer.bias})


def _arrays(target: Target, path: str, arrays: Mapping[str, Any]) -> None:
    for name, values in arrays.items():
        if values is not None:
            dtype = "<i4" if name == "mode" else "<f8"
            target.array(f"{path}/{name}", cast(np.atleast_1d(values), dtype, target.at(path)))


def read_dynamics(inventory: Inventory, place: str) -> Dynamics | None:
    """Dynamics at ``<place>dynamics``, their probe recomputed; None when there are none.

    Raises:
        ContractError: If they can't be rebuilt, miss their probe, or don't fit the file's axes.
    """
    path = f"{place}dynamics"
    if path not in inventory:
        return None
    from .dynamics import make_dynamics

    where, attributes = inventory.at(path), inventory[path].attributes
    parameters = {name: inventory.read(e.path) for name, e in inventory.children(f"{path}/parameters")}
    try:
        dynamics = make_dynamics(attributes["kind"], parameters, attributes)
    except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
        fix = "write the parameters of this kind, named as the contract names them"
        raise ContractError("CTD402", where, "parameters of its kind", str(error), fix) from error
    if dynamics.kind != "opaque":
        _check_probe(dynamics, read_probe(inventory, place), where)
    _check_sizes(inventory, place, dynamics)
    return dynamics


def read_probe(inventory: Inventory, place: str) -> Probe:
    """The probe of the dynamics at ``<place>dynamics``.

    Raises:
        ContractError: If there is none, or a damaged one.
    """
    from .dynamics import Probe

    path = f"{place}dynamics/probe"
    arrays = {name: inventory.read(e.path) for name, e in inventory.children(path)}
    try:
        return Probe(arrays["state"], arrays.get("input"), arrays["next_state"], arrays.get("mode"))
    except (ValueError, TypeError, KeyError) as error:
        fix = "store the writer's own next states with the dynamics"
        raise ContractError("CTD403", inventory.at(path), "a probe", str(error), fix) from error


def _check_probe(dynamics: Dynamics, probe: Probe, where: str) -> None:
    from .dynamics import PROBE_TOLERANCE

    try:
        error = dynamics.probe_error(probe)
    except ValueError as problem:
        fix = "store the writer's own next states with the dynamics"
        raise ContractError("CTD403", f"{where}/probe", "a probe that fits", str(problem), fix) from problem
    if error > PROBE_TOLERANCE:
        fix = (
            "look for swapped gates, a transposed weight, another reset or activation, an input one bin off, "
            "or a probe evaluated in float32"
        )
        expected = f"the writer's next states within {PROBE_TOLERANCE:g} of 1 + max|x|"
        raise ContractError("CTD404", where, expected, f"{error:.3g}", fix)


def _check_sizes(inventory: Inventory, place: str, dynamics: Dynamics) -> None:
    if dynamics.kind == "opaque":
        return
    axis = inventory.dataset("/state")
    if axis and axis.shape[0] != dynamics.state_size:
        raise _misfit(inventory, place, f"state={axis.shape[0]}", f"state={dynamics.state_size}")
    folders = ("/truth", "/signals") if place == "/truth/" else ("/signals", "/truth")
    found = [
        next((e for folder in folders if (e := inventory.dataset(f"{folder}/{name}"))), None)
        for name in dynamics.inputs
    ]
    sizes = [entry.shape[-1] for entry in found if entry is not None]
    if len(sizes) == len(found) and sum(sizes) != dynamics.input_size:
        expected = f"input={' + '.join(map(str, sizes)) or 0}, as {', '.join(dynamics.inputs)} have"
        raise _misfit(inventory, place, expected, f"input={dynamics.input_size}")


def _misfit(inventory: Inventory, place: str, expected: str, got: str) -> ContractError:
    fix = "write the dynamics of these states and inputs"
    return ContractError("CTD406", inventory.at(f"{place}dynamics"), expected, got, fix)


def read_readout(inventory: Inventory, place: str) -> Readout | None:
    """Readout at ``<place>readout``; None when there is none.

    Raises:
        ContractError: If it can't be rebuilt.
    """
    path = f"{place}readout"
    if path not in inventory:
        return None
    from .readout import Layer, Readout

    attributes = inventory[path].attributes
    if attributes["kind"] == "opaque":
        return Readout.opaque()
    try:
        layers = [
            Layer(
                inventory.read(f"{path}/layer_{index}/weight"),
                inventory.read(f"{path}/layer_{index}/bias"),
                inventory[f"{path}/layer_{index}"].attributes["nonlinearity"],
            )
            for index in range(len(dict(inventory.children(path))))
        ]
        return Readout(layers, scale=attributes["scale"])
    except ContractError:
        raise
    except (ValueError, TypeError, KeyError) as error:
        fix = "write the readout with ctd_contract"
        raise ContractError("CTD407", inventory.at(path), "a chain of layers", str(error), fix) from error


def write_attributes(item: Any, attributes: Mapping[str, Any]) -> None:
    """Set attributes of a group or dataset; those that are None are left out."""
    for name, value in attributes.items():
        if value is not None:
            hdf5.write_attribute(item, name, value)
