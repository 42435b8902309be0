"""The small dynamical systems behind the toy files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctd_contract.dynamics import GRU, Affine, Dynamics, Probe

SYSTEMS = ("affine", "gru")


@dataclass(frozen=True)
class Trajectories:
    """Trials of a toy system.

    Attributes:
        dynamics: Its vector field.
        initial_state: (trial, state).
        inputs: (trial, time, input).
        inputs_clean: The same before noise.
        states: (trial, time, state), row k after input k.
    """

    dynamics: Dynamics
    initial_state: np.ndarray
    inputs: np.ndarray
    inputs_clean: np.ndarray
    states: np.ndarray

    def probe(self) -> Probe:
        """64 visited states with the inputs that followed them, and where they led."""
        state, inputs = Probe.points(self.states, self.inputs)
        return Probe(state, inputs, self.dynamics.step(state, inputs))


def make_dynamics(system: str, n_states: int, n_inputs: int, random: np.random.Generator) -> Dynamics:
    """A stable system: slowly decaying rotations (``affine``) or a small network (``gru``)."""
    if system == "affine":
        basis = np.linalg.qr(random.normal(size=(n_states, n_states)))[0]
        turn = np.eye(n_states)
        for index in range(0, n_states - 1, 2):
            angle = 0.15 * (1 + index)
            cosine, sine = np.cos(angle), np.sin(angle)
            turn[index : index + 2, index : index + 2] = [[cosine, -sine], [sine, cosine]]
        return Affine(
            0.97 * basis @ turn @ basis.T,
            0.4 * random.normal(size=(n_states, n_inputs)),
            0.01 * random.normal(size=n_states),
        )
    if system == "gru":
        return GRU(
            0.8 * random.normal(size=(3 * n_states, n_inputs)),
            1.2 * random.normal(size=(3 * n_states, n_states)) / np.sqrt(n_states),
            0.1 * random.normal(size=3 * n_states),
            0.1 * random.normal(size=3 * n_states),
        )
    raise ValueError(f"expected one of {', '.join(SYSTEMS)}, got {system!r}")


def simulate(
    system: str, n_trials: int, n_time: int, n_states: int, n_inputs: int, random: np.random.Generator
) -> Trajectories:
    """Trials from random initial states under sparse input pulses with a little noise."""
    dynamics = make_dynamics(system, n_states, n_inputs, random)
    shape = (n_trials, n_time, n_inputs)
    clean = np.where(random.random(shape) < 0.1, random.choice([-1.0, 1.0], size=shape), 0.0)
    # Stored as float32: the trajectory follows what the file will hold.
    inputs = (clean + 0.05 * random.normal(size=shape)).astype(np.float32)
    initial_state = random.normal(size=(n_trials, n_states)).astype(np.float32)
    states = np.empty((n_trials, n_time, n_states))
    state = initial_state.astype(np.float64)
    for index in range(n_time):
        state = dynamics.step(state, inputs[:, index])
        states[:, index] = state
    return Trajectories(dynamics, initial_state, inputs, clean, states)
