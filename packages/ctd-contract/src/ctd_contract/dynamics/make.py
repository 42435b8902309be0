"""From what a file holds to dynamics that can be evaluated."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .affine import Affine
from .base import Dynamics
from .gru import GRU
from .ode_mlp import OdeMLP
from .opaque import Opaque
from .residual_mlp import ResidualMLP
from .rnn import RNN

DYNAMICS_KINDS: dict[str, type[Dynamics]] = {
    cls.kind: cls for cls in (Affine, RNN, GRU, ResidualMLP, OdeMLP, Opaque)
}


def make_dynamics(kind: str, parameters: Mapping[str, ArrayLike], attributes: Mapping[str, Any]) -> Dynamics:
    """Rebuild dynamics from their kind, parameters and attributes.

    Args:
        kind: A known kind; any other reads as opaque, with one warning.
        parameters: Arrays by name, as under `/dynamics/parameters`.
        attributes: As on `/dynamics`: the kind's own, `inputs` (signal names) and `noise_std`;
            values as h5py reads them will do. Those that the kind doesn't know are ignored with
            one warning. For an unknown kind `state_size` and `input_size` are kept.

    Raises:
        TypeError, ValueError: A parameter or attribute is missing or wrong.
    """
    if not isinstance(kind, str):
        raise TypeError(f"kind of dynamics: expected a string, got {kind!r}")
    plain = {name: _plain(value) for name, value in attributes.items() if name != "kind"}
    inputs = tuple(_plain(name) for name in np.atleast_1d(plain.pop("inputs", np.zeros(0, dtype="U1"))))
    noise_std = plain.pop("noise_std", 0.0)
    cls = DYNAMICS_KINDS.get(kind, Opaque)
    if kind not in DYNAMICS_KINDS:
        warnings.warn(f"unknown kind of dynamics {kind!r} reads as opaque", stacklevel=2)
    required, optional = _settings(cls)
    known = set(plain) if cls is Opaque else required | optional
    surplus = sorted(set(plain) - known)
    if surplus:
        warnings.warn(f"{kind} dynamics: unknown attributes ignored: {', '.join(surplus)}", stacklevel=2)
    missing = sorted(required - set(plain))
    if missing:
        raise ValueError(f"{kind} dynamics: expected the attribute {', '.join(missing)}, got none")
    settings = {name: value for name, value in plain.items() if name in known}
    try:
        return cls.from_parameters(parameters, settings, inputs=inputs, noise_std=noise_std)
    except KeyError as error:
        raise ValueError(
            f"{kind} dynamics: expected the parameter {error}, got {_listed(parameters)}"
        ) from error


def _settings(cls: type[Dynamics]) -> tuple[set[str], set[str]]:
    """Return the names of a kind's own attributes: those it needs and those with a default."""
    own = [
        argument
        for argument in inspect.signature(cls.__init__).parameters.values()
        if argument.kind is argument.KEYWORD_ONLY and argument.name not in ("inputs", "noise_std")
    ]
    required = {argument.name for argument in own if argument.default is argument.empty}
    return required, {argument.name for argument in own} - required


def _listed(parameters: Mapping[str, ArrayLike]) -> str:
    return ", ".join(sorted(parameters)) or "no parameters"


def _plain(value: Any) -> Any:
    """Return Python's own scalar or string where HDF5 gave NumPy's or bytes."""
    if isinstance(value, np.generic):
        value = value.item()
    return value.decode() if isinstance(value, bytes) else value
