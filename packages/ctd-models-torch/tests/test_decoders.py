"""Decoders: what they export is what they run."""

import numpy as np
import pytest
import torch
from toys import draw

from ctd_models_torch.decoders import GRUDecoder, LDSDecoder, NODEDecoder, RNNDecoder

DECODERS = {
    "lds": lambda n_inputs: LDSDecoder(4, n_inputs, memory=0.5, generator=draw("weights")),
    "rnn": lambda n_inputs: RNNDecoder(4, n_inputs, memory=0.5, generator=draw("weights")),
    "gru": lambda n_inputs: GRUDecoder(4, n_inputs, memory=1.0, generator=draw("weights")),
    "node": lambda n_inputs: NODEDecoder(4, n_inputs, hidden_size=6, delta=0.3, generator=draw("weights")),
    "node tanh": lambda n_inputs: NODEDecoder(4, n_inputs, activation="tanh", generator=draw("weights")),
}


@pytest.mark.parametrize("n_inputs", [0, 2])
@pytest.mark.parametrize("name", DECODERS)
def test_portable_dynamics_step_as_the_module_does(name, n_inputs, random):
    decoder = DECODERS[name](n_inputs).double()
    initial = torch.from_numpy(random.standard_normal((5, 4)))
    drive = torch.from_numpy(random.standard_normal((5, 9, n_inputs))) if n_inputs else None
    states = decoder(drive, initial, 9).detach().numpy()
    dynamics = decoder.dynamics(("inputs",))
    state = initial.numpy()
    for index in range(9):
        state = dynamics.step(state, None if drive is None else drive[:, index].numpy())
        np.testing.assert_allclose(state, states[:, index], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", DECODERS)
def test_the_probe_is_evaluated_in_float64_and_leaves_the_module_as_it_was(name, random):
    decoder = DECODERS[name](2)
    states = random.standard_normal((6, 8, 4)).astype(np.float32)
    inputs = random.standard_normal((6, 8, 2)).astype(np.float32)
    probe = decoder.probe(states, inputs)
    assert len(probe.state) == 64
    assert next(decoder.parameters()).dtype == torch.float32
    np.testing.assert_allclose(
        decoder.dynamics(("inputs",)).step(probe.state, probe.input), probe.next_state, rtol=1e-12, atol=1e-13
    )


def test_memory_is_the_identity_that_linear_dynamics_start_from():
    decoder = LDSDecoder(4, 0, memory=1.0, generator=draw("weights"))
    initial = torch.randn(3, 4, generator=draw("states"))
    torch.testing.assert_close(decoder(None, initial, 5), initial[:, None].expand(3, 5, 4))


def test_memory_keeps_a_unit_closer_to_its_state():
    drift = []
    for memory in (0.0, 4.0):
        decoder = GRUDecoder(8, 0, memory=memory, generator=draw("weights"))
        initial = torch.randn(20, 8, generator=draw("states"))
        drift.append((decoder(None, initial, 1)[:, 0] - initial).norm().item())
    assert drift[1] < 0.2 * drift[0]
