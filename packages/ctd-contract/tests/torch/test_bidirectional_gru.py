import pytest
import torch

from ctd_contract.torch.sequences import bidirectional_gru

SIZE, INPUTS = 5, 3


def direction(make):
    return make(3 * SIZE, INPUTS), make(3 * SIZE, SIZE), make(3 * SIZE), make(3 * SIZE)


@pytest.mark.parametrize("reset", ["after", "before"])
@pytest.mark.parametrize("clip", [None, 0.6, 1.2])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("all_states", [False, True])
@pytest.mark.parametrize(("trials", "bins"), [(40, 9), (3, 1), (5, 4)])
def test_fast_is_plain(
    loops, make, assert_twins, two_threads, device, reset, clip, padded, all_states, trials, bins
):
    inputs, starts = (
        make(trials, bins, INPUTS),
        (make(trials, SIZE, scale=2.0), make(trials, SIZE, scale=2.0)),
    )
    forward, backward = direction(make), direction(make)
    lengths = torch.arange(trials, device=device) % bins + 1 if padded else None
    options = {"reset": reset, "clip": clip, "lengths": lengths, "all_states": all_states}

    def run(backend):
        states = bidirectional_gru(inputs, *starts, forward, backward, **options, backend=backend)
        assert (states.forward_all is None) is not all_states
        return [values for values in states if values is not None]

    assert_twins(run, [inputs, *starts, *forward, *backward])


def test_is_torch_own_encoder(make, device):
    own = torch.nn.GRU(INPUTS, SIZE, batch_first=True, bidirectional=True).double().to(device)
    parameters = list(own.parameters())
    inputs, starts = make(4, 11, INPUTS), make(2, 4, SIZE)
    outputs, last = own(inputs, starts)
    directions = tuple(parameters[:4]), tuple(parameters[4:])
    states = bidirectional_gru(inputs, *starts, *directions, all_states=True)
    torch.testing.assert_close(torch.cat([states.forward_all, states.backward_all], dim=2), outputs)
    torch.testing.assert_close(torch.stack([states.forward_last, states.backward_last]), last)


@pytest.mark.parametrize("backend", ["fast", "plain"])
def test_padding_never_changes_a_result(make, device, backend):
    inputs, starts = make(4, 8, INPUTS), (make(4, SIZE), make(4, SIZE))
    forward, backward = direction(make), direction(make)
    lengths = torch.tensor([3, 8, 1, 5], device=device)
    padding = torch.arange(8, device=device) >= lengths[:, None]
    gradients, lasts = [], []
    for filler in (0.0, 1e6, torch.nan):
        filled = torch.where(padding[..., None], filler, inputs.detach()).requires_grad_()
        states = bidirectional_gru(filled, *starts, forward, backward, lengths=lengths, backend=backend)
        total = states.forward_last.sum() + states.backward_last.square().sum()
        gradients.append(torch.autograd.grad(total, [*forward, *backward, *starts, filled]))
        lasts.append(states[:2])
    for other in (1, 2):
        assert all(map(torch.equal, lasts[0], lasts[other]))
        assert all(map(torch.equal, gradients[0], gradients[other])) or backend == "plain"
    assert torch.equal(gradients[0][-1][padding], torch.zeros_like(gradients[0][-1][padding]))
    for trial, length in enumerate(lengths.tolist()):
        alone = bidirectional_gru(
            inputs[trial : trial + 1, :length],
            *(start[trial : trial + 1] for start in starts),
            forward,
            backward,
            backend=backend,
        )
        for part in range(2):
            torch.testing.assert_close(lasts[0][part][trial], alone[part][0], rtol=1e-12, atol=1e-13)
