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
from .jslds import JSLDS
from .ode_mlp import OdeMLP
from .opaque import Opaque
from .residual_mlp import ResidualMLP
from .rnn import RNN
from .switching_mlp import SwitchingMLP

DYNAMICS_KINDS: dict[str, type[Dynamics]] = {
    cls.kind: cls for cls in (Affine, RNN, GRU, ResidualMLP, OdeMLP, JSLDS, SwitchingMLP, Opaque)
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
    arguments = inspect.signature(cls.__init__).parameters
    required = {
        name
        for name in cls.setting_names
        if name in arguments and arguments[name].default is inspect.Parameter.empty
    }
    missing = sorted(required - set(plain))
    if missing:
        raise ValueError(f"{kind} dynamics: expected the attribute {', '.join(missing)}, got none")
    surplus = sorted(set(plain) - set(cls.setting_names))
    if surplus and kind in DYNAMICS_KINDS:
        warnings.warn(f"{kind} dynamics: unknown attributes ignored: {', '.join(surplus)}", stacklevel=2)
    settings = {name: plain[name] for name in cls.setting_names if name in plain}
    try:
        return cls.from_parameters(parameters, **settings, inputs=inputs, noise_std=noise_std)
    except KeyError as error:
        listed = ", ".join(sorted(parameters)) or "no parameters"
        raise ValueError(f"{kind} dynamics: expected the parameter {error}, got {listed}") from error


def _plain(value: Any) -> Any:
    """Return Python's own scalar or string where HDF5 gave NumPy's or bytes."""
    if isinstance(value, np.generic):
        value = value.item()
    return value.decode() if isinstance(value, bytes) else value
