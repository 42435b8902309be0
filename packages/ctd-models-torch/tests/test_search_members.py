"""Members: alone as a fit would be, together as alone; what hyperparameters do; numbers that fail."""

from dataclasses import replace

import pytest
import torch
from search_toys import RANGES, small_lfads, small_settings, small_space, small_task
from toys import small_config

from ctd_contract.torch.checkpoint import load_checkpoint, save_checkpoint
from ctd_models_torch.config import LinearReadoutConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.fitting import fit
from ctd_models_torch.search.batched import BatchedModel
from ctd_models_torch.search.config import RangeConfig
from ctd_models_torch.search.generation import train_members
from ctd_models_torch.search.member import Member
from ctd_models_torch.search.space import Settings
from ctd_models_torch.search.trainee import Trainee

RATE, DECAY = "training.learning_rate", "training.weight_decay"


def train(task, members, until, *, batched=False):
    with task.data() as data:
        return train_members(task, data, members, until, batched=batched, report=lambda _: None)


def first_members(task, count, ranges=RANGES):
    space = small_space(task.settings, ranges)
    return [Member.first(space, index) for index in range(count)]


def largest_difference(one: Member, other: Member) -> float:
    return max(
        float((value - other.weights[name]).abs().max())
        for name, value in one.weights.items()
        if name != "plateau"
    )


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_a_member_is_trained_as_a_fit_is_also_in_parts(ragged, tmp_path, schedule):
    task = small_task(ragged, schedule=schedule, plateau_patience=0, warmup=0.3)
    (member,) = first_members(task, 1)
    settings = task.settings.with_values(member.values)
    fitted = fit(ragged, tmp_path, model=settings.model, training=settings.training, seed=member.seed)
    expected = load_checkpoint(fitted.training.last_checkpoint)["state_dict"]
    whole = train(task, [member], 5)[0]
    (halfway,) = train(task, [member], 2)
    save_checkpoint(tmp_path / "member.safetensors", halfway.tree())
    parts = train(task, [Member.of(load_checkpoint(tmp_path / "member.safetensors"))], 5)[0]
    for trained in (whole, parts):
        assert set(trained.weights) == set(expected)
        for name, value in expected.items():
            torch.testing.assert_close(trained.weights[name], value, rtol=0, atol=0, equal_nan=True)
    assert whole.score == pytest.approx(parts.score, rel=1e-12)
    best = fitted.training.best_score
    assert min(check.score for check in whole.checks) == pytest.approx(best, rel=1e-12)


def test_eight_members_as_one_batched_model_are_eight_runs(ragged):
    """With dropout, coordinated dropout, ramps, decay and rates of their own."""
    task = small_task(ragged, precision="64-true", schedule="plateau", plateau_patience=0)
    members = first_members(task, 8)
    alone, together = (train(task, members, 5, batched=batched) for batched in (False, True))
    start = train(task, members, 0)
    for index, (one, other) in enumerate(zip(alone, together, strict=True)):
        assert largest_difference(one, other) < 1e-9
        assert largest_difference(one, start[index]) > 1e-3
        assert one.score == pytest.approx(other.score, rel=1e-9)
        assert largest_difference(one, alone[index - 1]) > 1e-2
        for position, moments in one.moments.items():
            for name, value in moments.items():
                torch.testing.assert_close(value, other.moments[position][name], rtol=1e-9, atol=1e-12)


def test_single_precision_stays_single_in_a_batch(ragged):
    task = small_task(ragged)
    members = first_members(task, 2)
    with task.data() as data:
        trainees = [Trainee(task, data, member) for member in members]
        batched = BatchedModel(trainees, data)
        for one in trainees:
            one.begin_epoch()
        batches = [next(iter(one.batches())) for one in trainees]
        batched.gradients(trainees, batches, 0)
        for one, batch in zip(trainees, batches, strict=True):
            together = [parameter.grad.clone() for parameter in one.module.parameters()]
            one.gradients(batch, 0)
            for got, parameter in zip(together, one.module.parameters(), strict=True):
                assert got.dtype == torch.float32
                torch.testing.assert_close(got, parameter.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["gru", "node"])
def test_other_models_are_batched_too(name, ragged):
    model = replace(small_config(name), dropout=0.2)
    base = small_task(ragged, precision="64-true")
    task = replace(base, settings=Settings(model, LinearReadoutConfig(), base.settings.training))
    members = first_members(task, 3, [RANGES[0], RANGES[2], RANGES[3]])
    for one, other in zip(*(train(task, members, 2, batched=flag) for flag in (False, True)), strict=True):
        assert largest_difference(one, other) < 1e-9


@pytest.mark.parametrize("schedule", ["constant", "cosine", "plateau"])
def test_a_perturbed_learning_rate_scales_the_next_update(recording, schedule):
    """Everything else the same, an update of Adam is proportional to the rate."""
    task = small_task(
        recording, precision="64-true", schedule=schedule, batch_size=28, optimizer="adam", plateau_patience=0
    )
    (member,) = train(task, first_members(task, 1, RANGES[:1]), 2)
    changed = [member, replace(member, values=member.values | {RATE: 3.7 * member.values[RATE]})]
    once, more = (train(task, [one], 3)[0] for one in changed)
    for name, before in member.weights.items():
        if name.startswith("model."):
            expected = 3.7 * (once.weights[name] - before)
            torch.testing.assert_close(more.weights[name] - before, expected, rtol=1e-7, atol=1e-12)
    assert largest_difference(once, member) > 1e-5


def test_a_perturbed_weight_decay_shrinks_the_weights_by_its_product_with_the_rate(recording):
    task = small_task(recording, precision="64-true", batch_size=28)
    (member,) = train(task, first_members(task, 1, RANGES[:2]), 2)
    changed = [replace(member, values=member.values | {DECAY: decay}) for decay in (0.1, 0.6)]
    once, more = (train(task, [one], 3)[0] for one in changed)
    for name, before in member.weights.items():
        if name.startswith("model.") and "standardization" not in name:
            expected = -0.5 * member.values[RATE] * before
            torch.testing.assert_close(
                more.weights[name] - once.weights[name], expected, rtol=1e-6, atol=1e-12
            )


def test_what_a_loser_gets(recording):
    task = small_task(recording)
    loser, winner = train(task, first_members(task, 2), 2)
    copy = loser.copy_of(winner, {**winner.values, RATE: 1e-3})
    assert copy.seed == loser.seed != winner.seed
    assert largest_difference(copy, winner) == 0
    assert copy.score == winner.score
    assert copy.values[RATE] == 1e-3
    assert copy.moments is winner.moments
    one, other = train(task, [copy, replace(winner, values=copy.values)], 3)
    assert largest_difference(one, other) > 0, "it draws from streams of its own"


@pytest.mark.parametrize("batched", [False, True])
def test_a_member_whose_loss_is_no_number_fails_alone(recording, batched):
    task = small_task(recording)
    members = train(task, first_members(task, 3), 1)
    weights = dict(members[1].weights)
    bias = next(name for name in weights if name.endswith("readout.bias"))
    weights[bias] = weights[bias] * torch.nan
    broken = replace(members[1], weights=weights)
    one, failed, other = train(task, [members[0], broken, members[2]], 3, batched=batched)
    assert "is nan in epoch 2, step 1" in failed.failure
    assert failed.score != failed.score
    alone = train(task, [members[0], members[2]], 3, batched=batched)
    assert largest_difference(one, alone[0]) < 1e-6
    assert largest_difference(other, alone[1]) < 1e-6
    assert train(task, [failed], 4, batched=batched)[0] is failed


@pytest.mark.parametrize(
    ("changes", "key", "sentence"),
    [
        ({}, RangeConfig("model.control_prior.variance", 0.1, 0.5), "variance decides what is computed"),
        ({}, RangeConfig("model.size", 3, 9), "model.size decides what is computed"),
        ({}, RangeConfig("training.batch_size", 3, 9), "batch_size differs among the members"),
        ({"jitter_bins": 2}, RANGES[2], "can't be batched"),
    ],
)
def test_what_can_not_be_batched_is_an_error_that_says_so(recording, changes, key, sentence):
    task = small_task(recording)
    model = small_lfads()
    model.augmentation = replace(model.augmentation, **changes)
    task = replace(task, settings=replace(small_settings(), model=model))
    with pytest.raises(InputError, match=sentence) as caught:
        train(task, first_members(task, 3, [key]), 1, batched=True)
    assert "search.batched=false" in str(caught.value)
    train(task, first_members(task, 2, [key]), 1)
