"""Portable dynamics x[k] = F(x[k-1], u[k]): reference evaluators in NumPy, with analytic Jacobians.

Example:
    >>> import numpy as np
    >>> from ctd_contract.dynamics import Affine
    >>> Affine(0.5 * np.eye(2)).step([[2.0, 4.0]])
    array([[1., 2.]])
"""

from .affine import Affine
from .base import Dynamics
from .gru import GRU
from .jslds import JSLDS
from .make import DYNAMICS_KINDS, make_dynamics
from .nonlinearity import NONLINEARITIES, Nonlinearity, nonlinearity
from .ode_mlp import OdeMLP
from .opaque import Opaque
from .probe import PROBE_SIZE, PROBE_TOLERANCE, Probe
from .residual_mlp import ResidualMLP
from .rnn import RNN
from .switching_mlp import SwitchingMLP

__all__ = [
    "DYNAMICS_KINDS",
    "GRU",
    "JSLDS",
    "NONLINEARITIES",
    "PROBE_SIZE",
    "PROBE_TOLERANCE",
    "RNN",
    "Affine",
    "Dynamics",
    "Nonlinearity",
    "OdeMLP",
    "Opaque",
    "Probe",
    "ResidualMLP",
    "SwitchingMLP",
    "make_dynamics",
    "nonlinearity",
]
