"""MR-LFADS: what may depend on what, the loss, sizes and refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from region_toys import BINS, config_of, region_batch, region_shape, regions_model, signals
from toys import draw, model_of

from ctd_models_torch.errors import InputError
from ctd_models_torch.lfads.config import InitialEncoderConfig, L2Config, RampConfig
from ctd_models_torch.lfads.posterior import Normal
from ctd_models_torch.multi_region.config import (
    DivergenceConfig,
    MessagesConfig,
    MRLFADSConfig,
    RegionKLConfig,
    SilenceConfig,
)
from ctd_models_torch.multi_region.objective import mean_squares
from ctd_models_torch.multi_region.priors import ZeroMeanPrior
from ctd_models_torch.multi_region.regions import Regions
from ctd_models_torch.multi_region.silence import channels

A, B, C = range(3)


def changed(batch, index):
    data = batch.data.clone()
    data[index] = data[index] + 3
    return replace(batch, data=data)


def test_later_bins_change_nothing_earlier(random):
    model, batch = regions_model(config_of()), region_batch(random)
    before = signals(model.infer(batch))
    after = signals(model.infer(changed(batch, np.s_[:, 5:])))
    for name, values in before.items():
        if values.dim() == 3:
            torch.testing.assert_close(after[name][:, :5], values[:, :5], rtol=0, atol=0, msg=name)
            assert (after[name][:, 5:] != values[:, 5:]).any(), name


def test_the_first_bins_reach_everything_by_the_initial_condition(random):
    model, batch = regions_model(config_of()), region_batch(random)
    before, after = (signals(model.infer(one)) for one in (batch, changed(batch, np.s_[:, 2])))
    assert (after["prediction"][:, 0] != before["prediction"][:, 0]).all()


def test_held_out_neurons_reach_nothing(random):
    model, batch = regions_model(config_of()), region_batch(random)
    hidden = torch.tensor(region_shape().held_out).nonzero()[:, 0]
    before = signals(model.infer(batch))
    after = signals(model.infer(changed(batch, np.s_[:, :, hidden])))
    for name, values in before.items():
        torch.testing.assert_close(after[name], values, rtol=0, atol=0, msg=name)
    # Nor are their predictions part of what is sent.
    assert [one.sizes.emission for one in model.decoders] == [4, 3, 1]
    with torch.no_grad():
        for readout, region in zip(model.readouts, model.regions.every, strict=True):
            rows = torch.ones(len(region.neurons), dtype=torch.bool)
            rows[region.seen] = False
            readout.bias[rows] += 1.0
    after = signals(model.infer(batch))
    torch.testing.assert_close(after["communication"], before["communication"], rtol=0, atol=0)
    assert (after["prediction"][:, :, hidden] != before["prediction"][:, :, hidden]).all()


def test_regions_hear_of_each_other_by_messages_alone(random):
    model, batch = regions_model(config_of()), region_batch(random)
    own = torch.tensor(region_shape().regions) == A
    other = changed(batch, np.s_[:, :, own])
    size = model.config.messages.size
    silent = channels(model.regions, SilenceConfig(["*:B", "*:C"]), BINS, size)
    before, after = (model.infer(one).prediction for one in (batch, other))
    assert (before[:, 1:, ~own] != after[:, 1:, ~own]).any()
    before, after = (model.infer(one, silent).prediction for one in (batch, other))
    torch.testing.assert_close(after[..., ~own], before[..., ~own], rtol=0, atol=0)
    assert (before[..., own] != after[..., own]).all()


def test_columns_say_which_messages_are_whose(random):
    model, batch = regions_model(config_of()), region_batch(random)
    with torch.no_grad():
        for part in (model.decoders[B].message_weight, model.decoders[B].message_bias):
            part.zero_()
    columns, found = model.columns(), model.infer(batch).signals["communication"]
    sent = columns["messages", "from"] == B
    assert sent.sum() == 4
    assert not found[..., sent].any()
    assert found[..., ~sent].abs().amin() > 0
    assert sorted(set(zip(columns["messages", "from"], columns["messages", "to"], strict=True))) == [
        (A, B), (A, C), (B, A), (B, C), (C, A), (C, B),
    ]  # fmt: skip
    counts = {table: np.bincount(columns[table, "region"]).tolist() for table in ("states", "factors")}
    assert counts == {"states": [9, 8, 4], "factors": [3, 3, 2]}
    np.testing.assert_array_equal(columns["controls", "region"], [A, B, C])


def test_dropout_never_touches_what_is_carried_on(random):
    model, batch = regions_model(config_of(dropout=0.5)), region_batch(random)
    found = model._run(model.standardization(batch, model.view), batch, BINS, draw)
    dynamics, drive = model.dynamics(), found.drive.detach().double().numpy()
    state = torch.cat(found.states, dim=1).detach().double().numpy()
    states = torch.cat(found.looped.states, dim=2).detach().numpy()
    for index in range(BINS):
        state = dynamics.step(state, drive[:, index])
        np.testing.assert_allclose(states[:, index], state, atol=1e-5)


def test_the_regions_side_by_side_are_one_unit_and_one_readout(random):
    model, batch = regions_model(config_of()), region_batch(random)
    found = model.infer(batch)
    states, drive = found.states.detach().numpy(), found.drive.detach().numpy()
    model.dynamics().check_probe(model.probe(states, drive))
    readout = model.portable_readout(0.01)
    np.testing.assert_allclose(readout.factors(states), found.signals["factors"].detach(), atol=1e-5)
    expected = model.observation.expected(found.prediction).detach().numpy() / 0.01
    np.testing.assert_allclose(readout.evaluate(states), expected, rtol=1e-4)


def test_padding_changes_nothing(random):
    model = regions_model(config_of())
    lengths = [8, 5, 8, 4, 6]
    batch = region_batch(random, lengths=lengths)
    data = batch.data.clone()
    data[1, 5:], data[3, 4:] = 7.0, 9.0
    other = replace(batch, data=data)
    for name, term in model.losses(batch, draw, n_time=BINS, epoch=40).items():
        torch.testing.assert_close(model.losses(other, draw, n_time=BINS, epoch=40)[name], term, msg=name)
    kept = torch.arange(BINS) < torch.tensor(lengths)[:, None]
    torch.testing.assert_close(model.infer(other).states[kept], model.infer(batch).states[kept])


def test_divergences_leave_padding_out(random):
    model = regions_model(config_of())
    batch = region_batch(random, lengths=[8, 5, 8, 4, 6])
    kept = torch.arange(BINS) < batch.lengths[:, None]
    found = model.infer(batch)
    for name, signal, prior in (
        ("kl_controls", "inferred_inputs", model.control_prior),
        ("kl_messages", "communication", model.message_prior),
    ):
        posterior = torch.distributions.Normal(found.signals[signal], found.signals[f"{signal}_std"])
        from_prior = torch.distributions.Normal(0.0, (0.5 * prior.log_variance).exp())
        nats = torch.distributions.kl_divergence(posterior, from_prior).sum(2)
        torch.testing.assert_close(found.figures[name], (nats * kept).sum(1), msg=name)


def test_the_divergence_is_the_closed_form(random):
    prior = ZeroMeanPrior(3, 0.2)
    with torch.no_grad():
        prior.log_variance += torch.tensor([0.0, 0.5, -1.0])
    mean, log_variance = torch.from_numpy(random.standard_normal((2, 4, 6, 3))).float()
    kept = torch.arange(6) < torch.tensor([6, 2, 5, 1])[:, None]
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    whole = torch.distributions.kl_divergence(
        posterior, torch.distributions.Normal(torch.zeros(3), (0.5 * prior.log_variance).exp())
    )
    expected = (whole.sum(2) * kept).sum(1)
    torch.testing.assert_close(prior.kl(Normal(mean, log_variance), None, kept), expected)
    assert prior.log_variance.requires_grad


def test_the_loss_is_the_bound_with_weights_and_ramps_of_its_own(random):
    late = DivergenceConfig(weight=0.5, ramp=RampConfig(start=10, increase=9))
    config = config_of(
        coordinated_dropout=0.0,
        kl=RegionKLConfig(messages=late),
        l2=L2Config(generator=2.0, controller=1.0, encoders=0.5, ramp=RampConfig(0, 0)),
        messages=MessagesConfig(2, penalty=3.0),
    )
    model, batch = regions_model(config), region_batch(random)
    terms = {epoch: model.losses(batch, draw, n_time=BINS, epoch=epoch) for epoch in (5, 14, 30)}
    assert terms[5]["kl_messages"] == 0
    torch.testing.assert_close(terms[14]["kl_messages"], 0.5 * terms[30]["kl_messages"])
    torch.testing.assert_close(terms[14]["kl_controls"], terms[30]["kl_controls"])
    found = model._run(model.standardization(batch, model.view), batch, BINS, draw)
    nats = model._divergences(found, batch)
    share = 1.0 / (BINS * 12)
    torch.testing.assert_close(terms[30]["kl_messages"], 0.5 * share * nats["messages"].mean())
    torch.testing.assert_close(terms[30]["kl_controls"], share * nats["controls"].mean())
    nll = model.observation.nll(found.prediction, batch.data).sum() / len(batch)
    torch.testing.assert_close(terms[30]["reconstruction"], share * nll)
    torch.testing.assert_close(terms[30]["l2"], penalty(model))
    means = found.looped.messages.mean.reshape(-1, 6, 2)
    torch.testing.assert_close(terms[30]["messages"], 3.0 * means.square().mean((0, 2)).sum())
    assert config.ramped_epochs == 20


def penalty(model):
    """Every recurrent matrix once: 2 of each initial condition's encoder, 1 of each other unit."""
    matrices = {name: one for name, one in model.named_parameters() if name.endswith("weight_state")}
    assert len(matrices) == 3 * (2 + 1 + 1 + 1)
    scales = {"encoders": 0.5, "controller": 1.0, "generator": 2.0}
    total = 0.0
    for name, one in matrices.items():
        part = "encoders" if name.startswith("encoders") else name.split(".")[2]
        total = total + 0.5 * scales[part] * one.square().sum()
    return total / sum(one.numel() for one in matrices.values())


def test_the_power_of_connections_leaves_padding_out(random):
    means = torch.from_numpy(random.standard_normal((3, 4, 6)))
    kept = torch.arange(4) < torch.tensor([4, 1, 2])[:, None]
    found = mean_squares(means, kept, 2)
    torch.testing.assert_close(found, means[kept].square().view(7, 2, 3).mean((0, 2)))


def test_posteriors_have_a_floor(random):
    model, batch = regions_model(config_of()), region_batch(random)
    with torch.no_grad():
        for one in model.decoders:
            one.message_bias -= 1e4
            one.control_bias -= 1e4
        for one in model.encoders:
            one.head.raw_bias -= 1e4
    found = model.infer(batch).signals
    for name in ("communication_std", "inferred_inputs_std", "initial_condition_std"):
        assert found[name].min() >= 0.99e-2, name
    assert torch.isfinite(sum(model.losses(batch, draw, n_time=BINS, epoch=40).values()))


def test_nothing_overflows(random):
    model, batch = regions_model(config_of()), region_batch(random)
    with torch.no_grad():
        for one in model.parameters():
            one.mul_(1e3)
    loss = sum(model.losses(batch, draw, n_time=BINS, epoch=40).values())
    loss.backward()
    assert all(torch.isfinite(one.grad).all() for one in model.parameters() if one.grad is not None)


def test_streams_of_randomness_have_names(random):
    model, batch = regions_model(config_of(dropout=0.2)), region_batch(random)
    asked = []

    def asking(name):
        asked.append(name)
        return draw(name)

    model.losses(batch, asking, n_time=BINS, epoch=0)
    names = {"coordinated dropout", "dropout", "initial condition", "inferred inputs", "messages"}
    assert set(asked) == names
    assert len(asked) == len(names)


def test_neurons_may_be_in_any_order(random):
    """Regions whose neurons are not neighbours: what is inferred is the same, in the other order."""
    order = torch.from_numpy(random.permutation(12))
    shape = region_shape()
    model, batch = regions_model(config_of()), region_batch(random)
    mixed = replace(
        shape,
        regions=[shape.regions[k] for k in order],
        held_out=[shape.held_out[k] for k in order],
    )
    regions = Regions.of(mixed)
    for region, own in zip(regions.every, Regions.of(shape).every, strict=True):
        assert sorted(order[region.neurons].tolist()) == own.neurons.tolist()
        seen = [mixed.held_out[k] for k in region.neurons[region.seen]]
        assert not any(seen)
        view = mixed.view.neurons
        torch.testing.assert_close(view[region.columns], region.neurons[region.seen])
    other = model_of(config_of(), mixed)
    found = other.infer(replace(batch, data=batch.data[..., order]))
    assert found.prediction.shape == model.infer(batch).prediction.shape
    np.testing.assert_allclose(
        other.portable_readout(0.01).evaluate(found.states.detach().numpy()),
        found.prediction.exp().detach().numpy() / 0.01,
        rtol=1e-4,
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"regions": None, "region_names": None}, "has no column neurons/region"),
        ({"regions": [1] * 12}, "two or more regions, and all neurons lie in B"),
        ({"held_out": [False] * 10 + [True] * 2}, "all neurons of region C are held out"),
        ({"seen_bins": [0, 1, 2]}, "encoder.bins=3 leaves the controllers' encoders nothing of the 3 bins"),
    ],
)
def test_recordings_that_it_is_not_for_are_refused(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        model_of(config_of(), replace(region_shape(), **changes))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: MRLFADSConfig(size=0), "model.size is at least 1 or null, got 0"),
        (lambda: MRLFADSConfig(dropout=1.0), "dropout is in"),
        (lambda: MRLFADSConfig(reset="never"), "reset is one of before, after, got never"),
        (lambda: MessagesConfig(size=0), "messages.size is at least 1, got 0"),
        (lambda: MessagesConfig(emission="spikes"), "messages.emission is one of rates, factors, states"),
        (lambda: MessagesConfig(penalty=-1.0), "messages.penalty is at least 0"),
        (lambda: DivergenceConfig(variance=0.0), "kl variance is above 0"),
        (lambda: SilenceConfig(["A:B"], start=-1), "start is at least 0"),
        (lambda: SilenceConfig([]), "connections has at least one"),
    ],
)
def test_settings_out_of_range_are_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_the_initial_condition_may_be_read_of_all_bins(random):
    config = config_of(encoder=InitialEncoderConfig(size=5, bins=None))
    model, batch = regions_model(config), region_batch(random)
    before, after = (model.infer(one).initial_state for one in (batch, changed(batch, np.s_[:, -1])))
    assert (before != after).all()


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (SilenceConfig(["A:D"]), "A:D: give SOURCE:TARGET, two of A, B, C, or \\* for any"),
        (SilenceConfig(["A"]), "give SOURCE:TARGET"),
        (SilenceConfig(["A:A"]), "give SOURCE:TARGET"),
        (SilenceConfig(["A:B"], 5, 5), "no window of the 8 bins"),
        (SilenceConfig(["A:B"], 0, 9), "no window of the 8 bins"),
    ],
)
def test_connections_that_do_not_exist_are_refused(config, sentence):
    with pytest.raises(InputError, match=sentence):
        channels(Regions.of(region_shape()), config, BINS, 2)


def test_channels_are_silent_in_their_window_alone():
    kept = channels(Regions.of(region_shape()), SilenceConfig(["A:C", "B:*"], 2, 4), BINS, 2)
    assert kept.shape == (BINS, 3, 4)
    assert kept[:2].all()
    assert kept[4:].all()
    # A hears B, C; B hears A, C; C hears A, B.
    expected = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=kept.dtype)
    torch.testing.assert_close(kept[2], expected)
