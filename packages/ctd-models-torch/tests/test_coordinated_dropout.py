"""Nothing is trained to reproduce what the encoder was shown."""

import numpy as np
import pytest
import torch
from toys import batch_of, draw, model_of, shape_of, small_config

from ctd_contract.torch.random import chance
from ctd_models_torch.batch import View
from ctd_models_torch.coordinated_dropout import coordinated_dropout, dropout

VIEW = View(torch.tensor([0, 1, 2, 4]), torch.tensor([0, 1, 3]))
SHAPE = torch.Size((6, 5, 4))


def applied(rate: float, trials: int = 6):
    seen = torch.ones(trials, 4, 3)
    return coordinated_dropout(
        seen, VIEW, torch.Size((trials, 5, 4)), rate=rate, generator=draw("coordinated dropout")
    )


def test_exactly_the_hidden_entries_are_scored():
    thinned, weight = applied(0.3)
    seen_weight = VIEW.see(weight)
    hidden = thinned == 0
    assert 0 < hidden.float().mean() < 1
    torch.testing.assert_close(seen_weight[hidden], torch.full_like(seen_weight[hidden], 1 / chance(0.3)))
    assert (seen_weight[~hidden] == 0).all()
    torch.testing.assert_close(thinned[~hidden], torch.full_like(thinned[~hidden], 1 / (1 - chance(0.3))))


def test_what_is_never_seen_keeps_its_weight():
    weight = applied(0.3)[1]
    never = torch.ones(SHAPE, dtype=torch.bool)
    never[:, VIEW.bins[:, None], VIEW.neurons[None]] = False
    assert (weight[never] == 1).all()


def test_weight_and_input_are_unbiased():
    thinned, weight = applied(0.25, trials=4000)
    assert thinned.mean().item() == pytest.approx(1.0, abs=0.02)
    assert weight.mean().item() == pytest.approx(1.0, abs=0.02)


def test_gradients_reach_only_hidden_entries_of_held_in_neurons(random):
    """The gradient with respect to the predictions, taken through the model's own loss."""
    shape = shape_of()
    model = model_of(small_config("gru"), shape)
    batch = batch_of(random, shape)
    grads = []
    model.readout.register_forward_hook(lambda _m, _a, out: (out.retain_grad(), grads.append(out))[1])
    sum(model.losses(batch, draw, n_time=7, epoch=0).values()).backward()
    gradient = grads[0].grad
    hidden = coordinated_dropout(
        model._seen(batch), model.view, batch.data.shape, rate=0.3, generator=draw("coordinated dropout")
    )[1]
    assert ((gradient != 0) == (hidden != 0)).all()
    assert (gradient[..., 4:] != 0).all(), "held-out neurons are always trained on"
    assert (gradient[..., :4] == 0).any()


def test_the_encoder_gets_no_gradient_from_what_it_was_shown(random):
    """d loss / d seen entry runs only through other entries: an autoencoder's own copy has none."""
    seen = torch.from_numpy(random.poisson(1.0, (3, 4, 3)).astype(np.float32)).requires_grad_()
    thinned, weight = coordinated_dropout(
        seen, VIEW, torch.Size((3, 5, 4)), rate=0.5, generator=draw("coordinated dropout")
    )
    copied = VIEW.see(weight) * (thinned - seen.detach()).square()
    copied.sum().backward()
    assert (seen.grad == 0).all()


def test_a_rate_of_zero_switches_it_off(random):
    shape, config = shape_of(), small_config("gru")
    config.coordinated_dropout = 0.0
    model, batch = model_of(config, shape), batch_of(random, shape)
    loss = model.losses(batch, draw, n_time=7, epoch=0)["reconstruction"]
    plain = model.observation.nll(model.infer(batch).prediction, batch.data).mean()
    torch.testing.assert_close(loss, plain)


def test_ordinary_dropout_is_unbiased_and_off_without_a_stream():
    values = torch.ones(200, 200)
    assert dropout(values, 0.4, draw("dropout")).mean().item() == pytest.approx(1.0, abs=0.02)
    assert (dropout(values, 0.4, draw("dropout")) == 0).float().mean().item() == pytest.approx(0.4, abs=0.01)
    assert dropout(values, 0.4, None) is values
