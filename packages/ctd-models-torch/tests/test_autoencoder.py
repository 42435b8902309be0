"""What a sequential autoencoder may and may not depend on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import batch_of, draw, model_of, shape_of, small_config

from ctd_models_torch.batch import View
from ctd_models_torch.config import FlowReadoutConfig, MLPReadoutConfig

LENGTHS = [7, 3, 5, 7, 1]


def gradients(model, batch, n_time=7):
    model.zero_grad()
    loss = sum(model.losses(batch, draw, n_time=n_time, epoch=0).values())
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters()}


def same(first, second):
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], msg=lambda text, name=name: f"{name}: {text}")


def test_padding_never_changes_loss_gradient_or_inference(model_config, random):
    shape = shape_of()
    model, batch = model_of(model_config, shape), batch_of(random, shape, lengths=LENGTHS)
    padding = ~(torch.arange(7) < batch.lengths[:, None])
    garbage = replace(
        batch,
        data=torch.where(padding[..., None], 9.0, batch.data),
        inputs=torch.where(padding[..., None], -3.0, batch.inputs),
    )
    loss, grads = gradients(model, batch)
    other_loss, other_grads = gradients(model, garbage)
    torch.testing.assert_close(loss, other_loss)
    same(grads, other_grads)
    first, second = model.infer(batch), model.infer(garbage)
    torch.testing.assert_close(first.initial_state, second.initial_state)
    torch.testing.assert_close(first.states[~padding], second.states[~padding])
    torch.testing.assert_close(model.score(batch), model.score(garbage))


def test_a_padded_trial_is_the_trial_alone(random):
    """A trial of 3 bins among longer ones gives what it gives as a batch of its own 3 bins."""
    shape = shape_of()
    model, batch = model_of(small_config("gru"), shape), batch_of(random, shape, lengths=LENGTHS)
    alone = replace(
        batch,
        data=batch.data[1:2, :3],
        scored=batch.scored[1:2, :3],
        inputs=batch.inputs[1:2, :3],
        lengths=batch.lengths[1:2],
        rows=batch.rows[1:2],
    )
    padded = model.infer(batch).states[1:2, :3]
    model.view = View(torch.arange(3), model.view.neurons)
    torch.testing.assert_close(padded, model.infer(alone).states)


def test_unobserved_entries_change_neither_loss_nor_gradient_nor_inference(random):
    shape = shape_of()
    observed = random.random((5, 7, 6)) > 0.3
    model = model_of(small_config("gru"), shape)
    batch = batch_of(random, shape, observed=observed)
    hidden = ~torch.from_numpy(observed)
    changed = replace(batch, data=torch.where(hidden, 50.0, batch.data))
    loss, grads = gradients(model, batch)
    other_loss, other_grads = gradients(model, changed)
    torch.testing.assert_close(loss, other_loss)
    same(grads, other_grads)
    torch.testing.assert_close(model.infer(batch).prediction, model.infer(changed).prediction)


def test_held_out_neurons_never_enter_the_encoder(model_config, random):
    shape = shape_of()
    model, batch = model_of(model_config, shape), batch_of(random, shape)
    data = batch.data.clone()
    data[..., 4:] += 7.0
    torch.testing.assert_close(
        model.infer(batch).prediction, model.infer(replace(batch, data=data)).prediction, rtol=0, atol=0
    )


def test_forward_bins_never_enter_the_encoder(random):
    shape = replace(shape_of(), seen_bins=[0, 1, 2, 3])
    model, batch = model_of(small_config("gru"), shape), batch_of(random, shape)
    data = batch.data.clone()
    data[:, 4:] += 7.0
    torch.testing.assert_close(
        model.infer(batch).prediction, model.infer(replace(batch, data=data)).prediction, rtol=0, atol=0
    )


def test_every_bin_that_may_be_seen_reaches_the_encoder(random):
    """An off-by-one in the encoder's window would drop the last bin."""
    shape = shape_of()
    model, batch = model_of(small_config("gru"), shape), batch_of(random, shape)
    before = model.infer(batch).initial_state
    for index in range(7):
        data = batch.data.clone()
        data[:, index, 0] += 3.0
        assert not torch.allclose(model.infer(replace(batch, data=data)).initial_state, before)


def test_the_readout_starts_at_the_mean_rate(random):
    shape = shape_of()
    for readout in (None, MLPReadoutConfig(hidden_size=5), FlowReadoutConfig(hidden_size=5)):
        model = model_of(small_config("gru"), shape, readout)
        bias = model.readout.biases[-1] if isinstance(readout, MLPReadoutConfig) else model.readout.bias
        np.testing.assert_allclose(bias.detach().exp().numpy(), 0.7, rtol=1e-6)


def test_a_truncated_loss_scores_the_first_bins_alone(random):
    shape, config = shape_of(), small_config("gru")
    config.coordinated_dropout = 0.0
    model, batch = model_of(config, shape), batch_of(random, shape)
    loss = model.losses(batch, draw, n_time=4, epoch=0)["reconstruction"]
    nll = model.observation.nll(model.infer(batch).prediction, batch.data)
    torch.testing.assert_close(loss, nll[:, :4].mean())


def test_an_autonomous_model_needs_no_inputs(dynamic_config, random):
    shape = shape_of(inputs=0)
    model, batch = model_of(dynamic_config, shape), batch_of(random, shape)
    inferred = model.infer(batch)
    assert "inputs" not in model.dynamics().inputs
    assert (inferred.drive is None) == (model.dynamics().inputs == ())
    drive = None if inferred.drive is None else inferred.drive.detach().numpy()
    model.dynamics().check_probe(model.probe(inferred.states.detach().numpy(), drive))


@pytest.mark.parametrize("signal", ["spikes", "activity"])
def test_continuous_activity_has_an_identity_readout(signal, random):
    model = model_of(small_config("gru"), shape_of(signal=signal))
    states = torch.from_numpy(random.standard_normal((3, 4)))
    prediction = model.observation.expected(model.double().readout(states)).detach().numpy()
    scale = 1 / 0.01 if signal == "spikes" else 1.0
    np.testing.assert_allclose(model.portable_readout(0.01).evaluate(states.numpy()), scale * prediction)


def test_the_score_is_the_sum_over_what_is_scored(random):
    shape = shape_of()
    model, batch = model_of(small_config("lds"), shape), batch_of(random, shape, lengths=LENGTHS)
    nll = model.observation.nll(model.infer(batch).prediction, batch.data)
    expected = torch.stack([nll[k, :length].sum() for k, length in enumerate(LENGTHS)])
    torch.testing.assert_close(model.score(batch), expected)
