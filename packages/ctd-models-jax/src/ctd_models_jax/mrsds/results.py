"""What the model's functions return."""

from __future__ import annotations

from typing import NamedTuple

from jax import Array

from ctd_models_jax.mrsds.posterior import Path


class Inferred(NamedTuple):
    """What the model infers.

    Attributes:
        states: (trial, time, state) the path of the posterior's means.
        modes: (trial, time, mode) probabilities given that path.
        prediction: (trial, time, neuron) expected counts, or activity.
    """

    states: Array
    modes: Array
    prediction: Array


class Messages(NamedTuple):
    """What moves the states, averaged over modes; both together are F(x_{k-1}, u_k) - x_{k-1}.

    Attributes:
        messages: (trial, time, region, state) from each region; a region's own is its local part.
        input_messages: (trial, time, input network, state).
        by_mode: (trial, time, mode, region, state) messages in each mode.
        inputs_by_mode: (trial, time, mode, input network, state) input messages in each mode.

    How strong any of them are says `Dynamics.lengths`. No step leads into the first bin, so all are zero
    there.
    """

    messages: Array
    input_messages: Array
    by_mode: Array
    inputs_by_mode: Array


class Sample(NamedTuple):
    """Trials drawn from the model.

    Attributes:
        modes: (trial, time).
        states: (trial, time, state).
        values: (trial, time, neuron) counts or activity.
    """

    modes: Array
    states: Array
    values: Array


class Bound(NamedTuple):
    """Parts of the evidence lower bound, one sample, in nats.

    Attributes:
        emissions: (trial,) log p(y | x).
        states: (trial,) log p(x) - log q(x), in expectation minus a KL divergence.
        path: The sample.
    """

    emissions: Array
    states: Array
    path: Path
