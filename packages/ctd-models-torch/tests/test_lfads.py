"""What LFADS may and may not depend on, and that its loss is a bound."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import batch_of, draw, model_of, shape_of

from ctd_contract.torch.random import generator
from ctd_models_torch.errors import InputError
from ctd_models_torch.lfads.config import (
    AugmentationConfig,
    ControllerConfig,
    GeneratorConfig,
    InitialEncoderConfig,
    KLConfig,
    L2Config,
    LFADSConfig,
    PriorConfig,
    RampConfig,
)
from ctd_models_torch.lfads.controller_inputs import controller_inputs
from ctd_models_torch.lfads.model import Trials

BINS = 7
NOW = RampConfig(0, 0)


def config_of(*, bins=None, lag=1, causal=False, controls=2, **settings) -> LFADSConfig:
    return LFADSConfig(
        size=5,
        factors=3,
        initial_condition=4,
        encoder=InitialEncoderConfig(size=4, bins=bins),
        controller=ControllerConfig(size=4, controls=controls, encoder_size=3, lag=lag, causal=causal),
        kl=KLConfig(ramp=NOW),
        **settings,
    )


def touched(model, batch, output) -> np.ndarray:
    """Whether each bin of an output (trial, bin, ...) depends on each seen bin: bool (bin, seen bin)."""
    seen = model.session.see(batch).requires_grad_()
    values = output(model, seen)
    rows = []
    for index in range(values.shape[1]):
        (gradient,) = torch.autograd.grad(values[:, index].sum(), seen, retain_graph=True, allow_unused=True)
        rows.append(np.zeros(seen.shape[1]) if gradient is None else gradient.abs().sum((0, 2)).numpy())
    return np.array(rows) > 0


def encoded(model, batch):
    lengths = model.session.view.seen_lengths(batch.lengths)
    return lambda model, seen: model._encoded(seen, Trials.of([batch]), lengths, batch.n_time)


def controls(batch):
    return lambda model, seen: model._run(seen, Trials.of([batch]), batch.n_time, None).decoded.control_mean


def initial(batch):
    return lambda model, seen: model._run(seen, Trials.of([batch]), batch.n_time, None).initial.mean[:, None]


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_with_a_lag_the_controller_sees_nothing_between(lag, random):
    model, batch = model_of(config_of(lag=lag), shape_of()), batch_of(random, shape_of())
    distance = np.abs(np.subtract.outer(np.arange(BINS), np.arange(BINS)))
    np.testing.assert_array_equal(touched(model, batch, encoded(model, batch)), distance >= lag)


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_a_causal_control_depends_on_no_later_bin(lag, random):
    config = config_of(lag=lag, causal=True, bins=2)
    model, batch = model_of(config, shape_of()), batch_of(random, shape_of())
    control, bin_ = np.indices((BINS, BINS))
    expected = (bin_ <= control - lag) | (bin_ < 2)
    np.testing.assert_array_equal(touched(model, batch, controls(batch)), expected)


def test_a_later_spike_changes_no_earlier_causal_control(random):
    model, batch = model_of(config_of(causal=True, bins=2), shape_of()), batch_of(random, shape_of())
    before = model.infer(batch)
    data = batch.data.clone()
    data[:, 4, 0] += 5.0
    after = model.infer(replace(batch, data=data))
    first, second = (found.signals["inferred_inputs"] for found in (before, after))
    torch.testing.assert_close(first[:, :5], second[:, :5], rtol=0, atol=0)
    assert not torch.allclose(first[:, 5], second[:, 5])


def test_the_segment_is_the_initial_conditions_alone(random):
    model, batch = model_of(config_of(bins=3), shape_of()), batch_of(random, shape_of())
    assert touched(model, batch, initial(batch)).tolist() == [[True] * 3 + [False] * 4]
    seen = touched(model, batch, encoded(model, batch))
    assert not seen[:, :3].any()
    assert seen[:, 3:].any(0).all()


def test_without_a_segment_both_encoders_see_all_bins(random):
    model, batch = model_of(config_of(), shape_of()), batch_of(random, shape_of())
    assert touched(model, batch, initial(batch)).all()


def test_the_layout_of_the_controllers_inputs():
    ahead = torch.tensor([[[10.0], [20.0], [30.0]], [[11.0], [21.0], [31.0]]])
    laid = controller_inputs([ahead, -ahead], torch.tensor([1, 2, 3]), torch.tensor([6, 3]), n_time=6, lag=1)
    assert laid[0, :, 0].tolist() == [0, 0, 10, 20, 30, 0]
    assert laid[0, :, 1].tolist() == [-10, -20, -30, 0, 0, 0]
    assert laid[1, :, 0].tolist() == [0, 0, 11, 21, 0, 0], "bin 3 is padding of the second trial"


CONTROLLED = {
    "plain": config_of(),
    "causal": config_of(causal=True),
    "segment": config_of(bins=2),
    "node": config_of(generator=GeneratorConfig("node", hidden_size=6)),
    "student": config_of(control_prior=PriorConfig("student_t")),
    "augmented": config_of(
        dropout=0.2, augmentation=AugmentationConfig(jitter_bins=1, shift_std=1.0, sample_validation=0.2)
    ),
}


@pytest.mark.parametrize("form", CONTROLLED)
def test_padding_changes_neither_loss_nor_gradient_nor_inference(form, random):
    model = model_of(CONTROLLED[form], shape_of())
    batch = batch_of(random, shape_of(), lengths=[7, 3, 5, 7, 1])
    padding = ~(torch.arange(BINS) < batch.lengths[:, None])
    inputs = torch.where(padding[..., None], -3.0, batch.inputs)
    if form == "augmented":  # moves spikes, of which padding has none
        garbage = replace(batch, inputs=inputs)
    else:
        garbage = replace(batch, inputs=inputs, data=torch.where(padding[..., None], 9.0, batch.data))
    results = []
    for trials in (batch, garbage):
        model.zero_grad()
        loss = sum(model.losses(trials, draw, n_time=BINS, epoch=0).values())
        loss.backward()
        results.append((loss.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(results[0], results[1])
    first, second = model.infer(batch), model.infer(garbage)
    torch.testing.assert_close(first.states[~padding], second.states[~padding])
    torch.testing.assert_close(first.figures, second.figures)


def test_a_padded_trial_is_the_trial_alone(random):
    model, batch = model_of(config_of(), shape_of()), batch_of(random, shape_of(), lengths=[7, 3, 5, 7, 1])
    padded = model.infer(batch)
    cut = {name: getattr(batch, name)[1:2, :3] for name in ("data", "scored", "inputs")}
    alone = replace(batch, **cut, lengths=batch.lengths[1:2], rows=batch.rows[1:2])
    model.session.view = replace(model.session.view, bins=torch.arange(3))
    found = model.infer(alone)
    torch.testing.assert_close(padded.states[1:2, :3], found.states)
    torch.testing.assert_close(padded.figures["kl_controls"][1:2], found.figures["kl_controls"])


def test_forward_bins_are_predicted_and_unseen(random):
    shape = replace(shape_of(), seen_bins=[0, 1, 2, 3])
    model, batch = model_of(config_of(), shape), batch_of(random, shape)
    data = batch.data.clone()
    data[:, 4:] += 5.0
    first, second = model.infer(batch), model.infer(replace(batch, data=data))
    assert first.prediction.shape[1] == BINS
    torch.testing.assert_close(first.prediction, second.prediction, rtol=0, atol=0)


def test_factors_have_normalised_rows(random):
    model = model_of(config_of(), shape_of())
    torch.testing.assert_close(model.decoder.factor_weight.norm(dim=1), torch.ones(3))
    first = model.portable_readout(0.01).layers[0]
    np.testing.assert_allclose(np.linalg.norm(first.weight, axis=1), 1.0, rtol=1e-6)


def test_without_priors_nothing_is_drawn(random):
    """The form that is not variational: its loss without dropout is what inference gives."""
    config = config_of(
        initial_prior=PriorConfig("none"), control_prior=PriorConfig("none"), coordinated_dropout=0.0
    )
    model, batch = model_of(config, shape_of()), batch_of(random, shape_of())
    terms = model.losses(batch, draw, n_time=BINS, epoch=0)
    assert list(terms) == ["reconstruction"]
    inferred = model.infer(batch)
    torch.testing.assert_close(terms["reconstruction"], model.nll(inferred, batch).mean())
    assert {"factors", "initial_condition", "inferred_inputs"} == set(inferred.signals)


@pytest.mark.parametrize("field", ["size", "controls", "encoder_size"])
def test_any_size_of_zero_is_no_controller(field, random):
    config = config_of()
    setattr(config.controller, field, 0)
    model, batch = model_of(config, shape_of()), batch_of(random, shape_of())
    assert model.decoder.controller is None
    assert "inferred_inputs" not in model.infer(batch).signals
    assert "kl_controls" not in model.losses(batch, draw, n_time=BINS, epoch=0)


def many(batch, times):
    names = ("data", "scored", "inputs", "lengths", "rows")
    return replace(
        batch, **{n: getattr(batch, n).repeat(times, *[1] * (getattr(batch, n).dim() - 1)) for n in names}
    )


def test_coordinated_dropout_leaves_the_expected_gradient():
    """Of what doesn't go through the encoders; those get none from what they were shown."""
    shape, random = shape_of(), np.random.default_rng(1)
    batch = many(batch_of(random, shape, trials=1), 4000)
    gradients = []
    for rate in (0.0, 0.4):
        config = config_of(coordinated_dropout=rate, initial_prior=PriorConfig("none"))
        config.control_prior = PriorConfig("none")
        model = model_of(config, shape)
        with torch.no_grad():
            model.encoder.forwards.weight_input.zero_()
            model.encoder.backwards.weight_input.zero_()
            model.control_encoder.forwards.weight_input.zero_()
            model.control_encoder.backwards.weight_input.zero_()
        sum(model.losses(batch, draw, n_time=BINS, epoch=0).values()).backward()
        gradients.append(model.session.readout.bias.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0.05, atol=0.01)


@pytest.mark.parametrize("bins", [None, 2])
def test_exactly_what_was_hidden_is_trained_on(bins, monkeypatch, random):
    """Of what may be seen, the bins of the initial condition alone too; and all that is never seen."""
    shape = replace(shape_of(), seen_bins=[0, 1, 2, 3, 4])
    model, batch = model_of(config_of(bins=bins, coordinated_dropout=0.4), shape), batch_of(random, shape)
    encode, reads, predictions = model.encode, [], []
    monkeypatch.setattr(model, "encode", lambda read, *rest: (reads.append(read), encode(read, *rest))[1])
    model.session.readout.register_forward_hook(
        lambda _m, _a, out: (out.retain_grad(), predictions.append(out))[1]
    )
    model.losses(batch, draw, n_time=BINS, epoch=0)["reconstruction"].backward()
    hidden = reads[0] == 0
    assert 0.2 < hidden.float().mean() < 0.6
    trained = predictions[0].grad != 0
    assert torch.equal(trained[:, :5, :4], hidden)
    assert trained[:, 5:].all()
    assert trained[..., 4:].all()


def test_dropout_is_of_what_encoders_controller_generator_and_factors_get(monkeypatch, random):
    config = config_of(dropout=0.4, coordinated_dropout=0.0)
    model, batch = model_of(config, shape_of()), batch_of(random, shape_of())
    last, decode, reads, given = model.encoder.last, model.decoder.forward, [], []
    monkeypatch.setattr(model.encoder, "last", lambda *values: (reads.append(values), last(*values))[1])
    monkeypatch.setattr(model.decoder, "forward", lambda *values: (given.append(values), decode(*values))[1])
    model.losses(batch, draw, n_time=BINS, epoch=0)
    external, masks = given[0][2], given[0][4]
    for values in (reads[0][0], external, masks.controller, masks.factors):
        assert 0.2 < (values == 0).float().mean() < 0.6


def test_the_initial_conditions_posterior_has_a_floor(random):
    model, batch = model_of(config_of(), shape_of()), batch_of(random, shape_of())
    with torch.no_grad():
        model.head.raw_bias[model.config.initial_condition :] = -1e4
    std = model.infer(batch).signals["initial_condition_std"]
    torch.testing.assert_close(std.square(), torch.full_like(std, 1e-4 + math.exp(-10)), rtol=0.01, atol=0)


def test_the_loss_of_one_bin_is_the_bound_of_its_marginal_likelihood():
    """One neuron, one bin, a code of one dimension: both by quadrature over the code."""
    shape = shape_of(neurons=1, held_out=0, bins=1, inputs=0)
    config = LFADSConfig(
        size=2,
        factors=1,
        initial_condition=1,
        encoder=InitialEncoderConfig(size=2),
        coordinated_dropout=0.0,
        kl=KLConfig(ramp=NOW),
    )
    model = model_of(config, shape).double()
    with torch.no_grad():
        model.session.readout.weight.fill_(1.0)
    single = batch_of(np.random.default_rng(3), shape, trials=1, bins=1)
    count = float(single.data)
    codes = torch.linspace(-4, 4, 8001, dtype=torch.float64)[:, None]
    state = torch.nn.functional.linear(codes, model.initial_weight, model.initial_bias)
    states = model.decoder.generator(None, state, 1)
    log_rate = model.session.readout(torch.nn.functional.linear(states, model.decoder.factor_weight))[:, 0, 0]
    log_likelihood = count * log_rate - log_rate.exp()
    prior = torch.distributions.Normal(0.0, math.sqrt(0.1)).log_prob(codes[:, 0])
    log_marginal = torch.logsumexp(prior + log_likelihood, 0).item() + math.log(8 / 8000)
    double = replace(single, data=single.data.double())
    found = model._run(model.session.see(double), Trials.of([double]), 1, None).initial
    posterior = torch.distributions.Normal(found.mean, found.std).log_prob(codes)[:, 0]
    bound = (posterior.exp() * (log_likelihood + prior - posterior)).sum().item() * 8 / 8000
    batch = replace(
        double,
        **{
            n: getattr(double, n).repeat(20000, *[1] * (getattr(double, n).dim() - 1))
            for n in ("data", "scored", "lengths", "rows")
        },
    )
    loss = sum(model.losses(batch, draw, n_time=1, epoch=0).values()).item()
    assert loss == pytest.approx(-bound, abs=0.01)
    assert loss > -log_marginal


def test_the_bound_is_divided_by_bins_times_neurons_and_the_published_form_weighs_more():
    shape, random = shape_of(), np.random.default_rng(0)
    batch = batch_of(random, shape)
    plain, published = (
        model_of(config_of(reconstruction=form, coordinated_dropout=0.0), shape)
        for form in ("sum", "published_mean")
    )
    first, second = (m.losses(batch, draw, n_time=BINS, epoch=0) for m in (plain, published))
    torch.testing.assert_close(first["reconstruction"], second["reconstruction"])
    for name in ("kl_initial_condition", "kl_controls"):
        torch.testing.assert_close(second[name], first[name] * (BINS * 6))


def test_divergences_are_summed_over_bins_at_the_samples_that_were_passed_on(random):
    student = PriorConfig("student_t")
    config = config_of(coordinated_dropout=0.0, initial_prior=student)
    model, batch = model_of(config, shape_of()), batch_of(random, shape_of(), lengths=[7, 3, 5, 7, 1])
    terms = model.losses(batch, draw, n_time=BINS, epoch=0)
    found = model._run(model.session.see(batch), Trials.of([batch]), BINS, draw)
    decoded, share = found.decoded, 1.0 / (BINS * 6)
    std = (0.5 * decoded.control_log_variance).exp()
    posterior = torch.distributions.Normal(decoded.control_mean, std)
    alpha, nu = math.exp(-1 / 10.0), 0.1
    before = torch.nn.functional.pad(alpha * decoded.controls[:, :-1], (0, 0, 1, 0))
    variance = torch.full((BINS, 1), nu).index_fill(0, torch.tensor(0), nu / (1 - alpha**2))
    prior = torch.distributions.Normal(before, variance.sqrt().expand_as(before))
    nats = torch.distributions.kl_divergence(posterior, prior).sum(2)
    kept = torch.arange(BINS) < batch.lengths[:, None]
    expected = torch.where(kept, nats, 0.0).sum(1).mean() * share
    torch.testing.assert_close(terms["kl_controls"], expected, rtol=1e-4, atol=1e-6)
    entropy = torch.distributions.Normal(found.initial.mean, found.initial.std).entropy()
    log_density = torch.distributions.StudentT(3.0).log_prob(found.code)
    expected = (-entropy - log_density).sum(1).mean() * share
    torch.testing.assert_close(terms["kl_initial_condition"], expected, rtol=1e-4, atol=1e-6)


def test_ramps_rise_by_epoch_and_scale_their_terms_alone():
    ramp = RampConfig(start=2, increase=3)
    assert [ramp.at(epoch) for epoch in range(7)] == [0, 0, 0.25, 0.5, 0.75, 1, 1]
    assert ramp.end == 6
    config = config_of(l2=L2Config(generator=1.0, controller=0.5, encoders=0.1))
    config.kl.ramp = ramp
    assert config.ramped_epochs == 11
    model, batch = model_of(config, shape_of()), batch_of(np.random.default_rng(0), shape_of())
    first, last = (model.losses(batch, draw, n_time=BINS, epoch=epoch) for epoch in (2, 30))
    torch.testing.assert_close(first["reconstruction"], last["reconstruction"])
    torch.testing.assert_close(first["kl_controls"], 0.25 * last["kl_controls"])
    torch.testing.assert_close(first["l2"], last["l2"] * 3 / 11)


def test_the_penalty_is_the_mean_of_half_the_squares():
    config = config_of(l2=L2Config(generator=2.0, ramp=NOW))
    model, batch = model_of(config, shape_of()), batch_of(np.random.default_rng(0), shape_of())
    weight = model.decoder.generator.unit.weight_state
    expected = 2.0 * 0.5 * weight.square().mean()
    torch.testing.assert_close(model.losses(batch, draw, n_time=BINS, epoch=0)["l2"], expected)


def test_weights_start_as_published():
    model = model_of(replace(config_of(), size=200), shape_of())
    unit = model.decoder.generator.unit
    assert unit.bias.tolist() == [1.0] * 400 + [0.0] * 200
    assert unit.weight_state.std().item() == pytest.approx(200**-0.5, rel=0.02)
    assert unit.weight_input.std().item() == pytest.approx(4**-0.5, rel=0.1)
    assert model.control_encoder.forwards.weight_state.std().item() == pytest.approx(7**-0.5, rel=0.5)
    assert not model.encoder.initial.any()
    np.testing.assert_allclose(model.session.readout.bias.detach().exp().numpy(), 0.7, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"initial_prior": PriorConfig("autoregressive")}, "initial_prior.kind"),
        ({"reconstruction": "mean"}, "reconstruction is one of sum, published_mean"),
        ({"factors": 0}, "model.factors is at least 1"),
        ({"dropout": 1.0}, r"dropout is in \[0, 1\)"),
        ({"loss_scale": 0.0}, "loss_scale is above 0"),
    ],
)
def test_settings_out_of_range_are_named(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        LFADSConfig(**settings)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: PriorConfig("gamma"), "prior.kind is one of"),
        (lambda: PriorConfig("autoregressive", over_time="published_mean"), "prior.over_time is sum"),
        (lambda: GeneratorConfig("rnn"), "generator.kind is one of gru, node"),
        (lambda: ControllerConfig(lag=-1), "controller.lag is at least 0"),
        (lambda: RampConfig(increase=-1), "ramp.increase"),
        (lambda: KLConfig(controls=-1.0), "kl.controls"),
        (lambda: L2Config(generator=-1.0), "l2.generator"),
        (lambda: AugmentationConfig(sample_validation=1.0), "augmentation.sample_validation"),
    ],
)
def test_parts_out_of_range_are_named(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_settings_that_contradict_the_recording_are_refused():
    with pytest.raises(InputError, match=r"encoder.bins=7 leaves .* nothing of the 7 bins"):
        model_of(config_of(bins=7), shape_of())
    with pytest.raises(InputError, match="jitter_bins moves spikes"):
        model_of(config_of(augmentation=AugmentationConfig(jitter_bins=1)), shape_of(signal="activity"))
    with pytest.raises(InputError, match=r"model.observation=gamma doesn't suit a recording of spikes"):
        model_of(config_of(observation="gamma"), shape_of())


def test_streams_of_a_step_are_their_own(random):
    """Another epoch draws other samples, the same one the same."""
    model, batch = model_of(config_of(), shape_of()), batch_of(random, shape_of())

    def loss(epoch):
        terms = model.losses(batch, lambda name: generator(0, name, epoch), n_time=BINS, epoch=9)
        return sum(terms.values()).item()

    assert loss(1) == loss(1)
    assert loss(1) != loss(2)


@pytest.mark.parametrize("form", ["plain", "student", "node"])
def test_bursts_and_huge_steps_leave_every_term_finite(form, random):
    model, shape = model_of(CONTROLLED[form], shape_of()), shape_of()
    batch = batch_of(random, shape)
    batch = replace(batch, data=batch.data * 200.0)
    optimizer = torch.optim.Adam(model.parameters(), 0.5)
    for step in range(40):
        terms = model.losses(batch, lambda name, step=step: generator(0, name, step), n_time=BINS, epoch=9)
        assert all(torch.isfinite(term) for term in terms.values()), (step, terms)
        optimizer.zero_grad()
        sum(terms.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)
        optimizer.step()


def test_the_loop_for_other_generators_agrees_with_the_fast_one(random):
    """A gated generator sent the way that a NODE goes."""
    model, batch = model_of(config_of(dropout=0.3), shape_of()), batch_of(random, shape_of())
    decoder, lengths = model.decoder, model.session.view.seen_lengths(batch.lengths)
    read = model._encoded(model.session.see(batch), Trials.of([batch]), lengths, BINS)
    state, noise = (
        torch.randn(5, 5, generator=draw("state")),
        torch.randn(5, BINS, 2, generator=draw("noise")),
    )
    masks = decoder.masks(5, BINS, 0.3, draw("masks"))
    fast = decoder(state, read, batch.inputs, noise, masks, BINS)
    start = decoder.controller.initial.expand(5, -1)
    slow = decoder._bin_by_bin(decoder.controller, state, start, read, batch.inputs, noise, masks)
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_fast_and_plain_loops_agree_in_loss_and_gradient(random):
    model, batch = model_of(config_of(dropout=0.2), shape_of()).double(), batch_of(random, shape_of())
    batch = replace(batch, data=batch.data.double(), inputs=batch.inputs.double())
    results = []
    for backend in ("fast", "plain"):
        for part in (model.encoder, model.control_encoder, model.decoder, model.decoder.generator):
            part.backend = backend
        model.zero_grad()
        loss = sum(model.losses(batch, draw, n_time=BINS, epoch=0).values())
        loss.backward()
        results.append((loss.detach(), [parameter.grad.clone() for parameter in model.parameters()]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-12)
