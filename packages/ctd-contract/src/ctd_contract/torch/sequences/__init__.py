"""The contract's kinds of dynamics over whole sequences, with gradients.

Every function takes inputs (trial, time, input) and an initial state (trial, state) and returns the states
(trial, time, state); ``states[:, k]`` is the state after the input of bin k. ``backend="plain"`` is the loop
of cells that the fast one is tested against.
"""

from ctd_contract.torch.sequences.affine import affine
from ctd_contract.torch.sequences.bidirectional_gru import BidirectionalStates, bidirectional_gru
from ctd_contract.torch.sequences.gru import gru
from ctd_contract.torch.sequences.ode_mlp import ode_mlp
from ctd_contract.torch.sequences.residual_mlp import residual_mlp
from ctd_contract.torch.sequences.rnn import rnn

__all__ = ["BidirectionalStates", "affine", "bidirectional_gru", "gru", "ode_mlp", "residual_mlp", "rnn"]
