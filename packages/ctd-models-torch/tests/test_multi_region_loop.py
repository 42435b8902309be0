"""MR-LFADS's loop: the fast one against the loop of cells, what it keeps, and when messages arrive."""

from dataclasses import replace

import pytest
import torch
from region_toys import BINS, config_of, region_batch, region_shape, regions_model
from toys import batch_of, draw

from ctd_models_torch.config import MLPReadoutConfig, OrthonormalReadoutConfig
from ctd_models_torch.lfads.config import ControllerConfig, L2Config
from ctd_models_torch.multi_region.config import MessagesConfig
from ctd_models_torch.multi_region.loop.fast import loop_fast
from ctd_models_torch.multi_region.loop.kernel import Tape, exchange, received, returned

FORMS = {
    "published": {},
    "reset after": {"reset": "after"},
    "clipped, dropout": {"clip": 0.2, "dropout": 0.3},
    "reset after, clipped, dropout": {"reset": "after", "clip": 0.2, "dropout": 0.3},
    "messages of factors": {"messages": MessagesConfig(2, "factors", penalty=0.1)},
    "messages of states": {"messages": MessagesConfig(3, "states"), "dropout": 0.3, "clip": None},
    "no controller": {"controller": ControllerConfig(size=0), "dropout": 0.3},
    "both directions": {"controller": ControllerConfig(size=4, controls=2, encoder_size=3, lag=1)},
}


def gradients(model, batch, backend):
    model.backend = backend
    model.zero_grad()
    terms = model.losses(batch, draw, n_time=BINS - 1, epoch=40)
    sum(terms.values()).backward()
    return terms, {name: one.grad for name, one in model.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("inputs", [0, 2])
@pytest.mark.parametrize("form", FORMS)
def test_the_fast_loop_agrees_with_the_loop_of_cells(form, inputs, random):
    config = config_of(**FORMS[form], l2=L2Config(generator=0.1))
    readout = OrthonormalReadoutConfig() if form == "published" else None
    model = regions_model(config, readout=readout, inputs=inputs, double=True)
    batch = region_batch(random, inputs=inputs, double=True, lengths=[8, 5, 8, 3, 7])
    expected, slow = gradients(model, batch, "plain")
    terms, fast = gradients(model, batch, "fast")
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=1e-9, atol=1e-12)
    assert fast.keys() == slow.keys()
    for name, grad in slow.items():
        scale = float(grad.abs().max().clamp_min(1e-6)) if grad.numel() else 1.0
        torch.testing.assert_close(fast[name] / scale, grad / scale, rtol=0, atol=1e-9, msg=name)


def test_they_agree_where_channels_are_silent_and_nothing_is_drawn(random):
    model = regions_model(config_of(), double=True)
    batch = region_batch(random, double=True)
    channels = (torch.rand(BINS, 3, 4, generator=draw("channels")) < 0.5).double()
    found = []
    for backend in ("plain", "fast"):
        model.backend = backend
        found.append(model.infer(batch, channels))
    torch.testing.assert_close(found[0].prediction, found[1].prediction)
    torch.testing.assert_close(found[0].drive, found[1].drive)
    assert not found[1].signals["communication"][:, channels.flatten(1) == 0].any()


def test_single_precision_is_close(random):
    model, batch = regions_model(config_of(dropout=0.2)), region_batch(random)
    slow, fast = gradients(model, batch, "plain")[1], gradients(model, batch, "fast")[1]
    for name, grad in slow.items():
        torch.testing.assert_close(fast[name], grad, rtol=1e-4, atol=1e-6, msg=name)


def test_layers_of_half_precision_are_close(random):
    model, batch = regions_model(config_of(dropout=0.2)), region_batch(random)
    whole = gradients(model, batch, "fast")[0]["reconstruction"]
    with torch.autocast("cpu", torch.bfloat16):
        half, grads = gradients(model, batch, "fast")
    torch.testing.assert_close(half["reconstruction"].float(), whole, rtol=5e-2, atol=0)
    assert all(torch.isfinite(grad).all() for grad in grads.values())


def test_a_readout_that_is_not_affine_takes_the_loop_of_cells(random):
    readout = MLPReadoutConfig(hidden_size=4)
    model, batch = regions_model(config_of(), readout=readout), region_batch(random)
    assert loop_fast([one.parameters_of_loop for one in model.decoders], None) is None
    model.losses(batch, draw, n_time=BINS, epoch=0)["reconstruction"].backward()
    # Messages of rates reach the readout of their source.
    assert all(one.weights[0].grad.any() for one in model.readouts)
    factors = regions_model(config_of(messages=MessagesConfig(2, "factors")), readout=readout)
    assert loop_fast_runs(factors, batch)


def loop_fast_runs(model, batch) -> bool:
    found = model.infer(batch)
    return "KernelBackward" in {type(node).__name__ for node in graph(found.states)}


def graph(tensor) -> list:
    """All nodes of a tensor's graph."""
    seen, todo = {}, [tensor.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and id(node) not in seen:
            seen[id(node)] = node
            todo += [parent for parent, _ in node.next_functions]
    return list(seen.values())


def test_what_is_kept_grows_linearly_with_the_bins(random):
    kept, nodes = {}, {}
    for bins in (12, 24, 48):
        model = regions_model(config_of())
        shape = replace(region_shape(), seen_bins=list(range(8)))
        batch = batch_of(random, shape, bins=bins)
        for backend in ("plain", "fast"):
            model.backend = backend
            found = graph(model.infer(batch).states)
            nodes[bins, backend] = len(found)
            tapes = [one.tape for one in found if hasattr(one, "tape")]
            kept[bins, backend] = sum(numbers(tape) for tape in tapes)
    for part in (kept, nodes):
        step = part[24, "fast"] - part[12, "fast"]
        assert part[48, "fast"] - part[24, "fast"] == 2 * step
    assert nodes[48, "fast"] == nodes[12, "fast"]
    step = nodes[24, "plain"] - nodes[12, "plain"]
    assert nodes[48, "plain"] - nodes[24, "plain"] == 2 * step


def numbers(tape: Tape) -> int:
    parts = [tape, tape.controller, tape.generator]
    return sum(one.numel() for part in parts for one in vars(part).values() if isinstance(one, torch.Tensor))


def test_the_plain_loop_writes_nothing_in_place(random):
    model, batch = regions_model(config_of()), region_batch(random)
    model.backend = "plain"
    names = {type(node).__name__ for node in graph(model.infer(batch).states)}
    assert not names & {"CopySlices", "IndexPutBackward0", "CopyBackwards"}


def test_the_first_messages_are_made_of_the_initial_states(random):
    model, batch = regions_model(config_of()), region_batch(random)
    model.backend = "plain"
    found = model.infer(batch)
    states = found.initial_state.split([one.sizes.state for one in model.decoders], dim=1)
    source, target = 1, 2
    decoder, region = model.decoders[source], model.regions.every[source]
    log_rates = model.readouts[source](states[source] @ decoder.factor_weight.t())[:, region.seen]
    sent = log_rates @ decoder.message_weight.t() + decoder.message_bias
    # B sends to A and then to C, to each two means and then two log-variances.
    columns = model.columns()
    own = (columns["messages", "from"] == source) & (columns["messages", "to"] == target)
    torch.testing.assert_close(found.signals["communication"][:, 0, own], sent[:, 4:6])


def test_what_is_sent_arrives_and_gradients_go_back(random):
    turn = exchange(3, torch.device("cpu"))
    sent = torch.from_numpy(random.standard_normal((3, 5, 2 * 2 * 4)))
    mean, raw = received(sent, turn)
    # From C (source 2) to A (target 0): the first of what C sends, the second of what A receives.
    torch.testing.assert_close(mean[0, :, 4:], sent[2, :, :4])
    torch.testing.assert_close(raw[0, :, 4:], sent[2, :, 4:8])
    torch.testing.assert_close(returned(mean, raw, turn), sent)
