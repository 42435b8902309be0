"""Hyperparameters: where they stand, how they are drawn and perturbed; who wins; when it ends."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_toys import RANGES, small_search, small_settings, small_space

from ctd_models_torch.config import LDSConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.lfads.config import LFADSConfig
from ctd_models_torch.search.config import RangeConfig, SearchConfig, StopConfig
from ctd_models_torch.search.defaults import default_space
from ctd_models_torch.search.population import Population
from ctd_models_torch.search.space import Space
from ctd_models_torch.search.tournament import parents, settled

RATE = "training.learning_rate"


def space_of(*ranges: RangeConfig, seed: int = 0) -> Space:
    return small_space(small_settings(), ranges, seed)


def test_values_are_put_where_they_belong_and_nothing_else_changes():
    before = small_settings()
    after = before.with_values({"model.kl.controls": 0.25, RATE: 3e-3})
    assert after.model.kl.controls == 0.25
    assert after.training.learning_rate == 3e-3
    undone = after.with_values({"model.kl.controls": before.model.kl.controls, RATE: 1e-3})
    assert undone == before.with_values({RATE: 1e-3})
    assert before == small_settings()


def test_every_number_of_the_configuration_can_be_searched():
    known = small_settings().numeric()
    for key in (RATE, "training.gradient_clip", "model.kl.controls", "model.augmentation.shift_std"):
        assert known[key] is False
    assert known["model.size"] is known["model.encoder.bins"] is True
    for key in ("model.observation", "training.tensorboard", "model.controller.causal", "training.schedule"):
        assert key not in known


def test_first_values_have_their_distributions():
    space = space_of(
        RangeConfig("model.dropout", 0.1, 0.5),
        RangeConfig(RATE, 1e-5, 1e-1, "log_uniform"),
        RangeConfig("model.coordinated_dropout", 0.0, 0.7, "fixed", 0.5),
        RangeConfig("model.controller.lag", 1, 4),
    )
    drawn = [space.draw(member) for member in range(2000)]
    dropout = np.array([values["model.dropout"] for values in drawn])
    logs = np.log10([values[RATE] for values in drawn])
    assert dropout.min() >= 0.1
    assert dropout.max() <= 0.5
    np.testing.assert_allclose(np.quantile(dropout, [0.25, 0.5, 0.75]), [0.2, 0.3, 0.4], atol=0.02)
    np.testing.assert_allclose(np.quantile(logs, [0.25, 0.5, 0.75]), [-4, -3, -2], atol=0.2)
    assert {values["model.coordinated_dropout"] for values in drawn} == {0.5}
    assert {values["model.controller.lag"] for values in drawn} == {1, 2, 3, 4}
    assert space.draw(7) == drawn[7]


def test_perturbations_are_factors_of_1_plus_minus_up_to_the_weight():
    space = space_of(RangeConfig("model.kl.controls", 0.0, 1.0, weight=0.8, enforce=False))
    factors = np.array(
        [space.perturb({"model.kl.controls": 5.0}, 0, m)["model.kl.controls"] / 5 for m in range(3000)]
    )
    changes = np.abs(factors - 1)
    assert changes.min() >= 0.0016 - 1e-12
    assert changes.max() <= 0.8
    np.testing.assert_allclose(np.quantile(changes, [0.25, 0.5, 0.75]), [0.2, 0.4, 0.6], atol=0.03)
    assert abs((factors > 1).mean() - 0.5) < 0.03


@given(st.floats(1e-5, 5e-3), st.integers(0, 1000))
def test_enforced_bounds_hold_after_every_perturbation(value, member):
    space = space_of(RangeConfig(RATE, 1e-5, 5e-3))
    assert 1e-5 <= space.perturb({RATE: value}, 2, member)[RATE] <= 5e-3


def test_a_value_that_never_comes_within_its_bounds_is_clipped():
    space = space_of(RangeConfig("model.kl.controls", 0.5, 0.5001))
    assert space.perturb({"model.kl.controls": 10.0}, 0, 0)["model.kl.controls"] == 0.5001
    assert space.perturb({"model.kl.controls": 0.01}, 0, 0)["model.kl.controls"] == 0.5


def test_losers_become_copies_of_the_other_of_their_pair():
    scores = [5.0, 1.0, math.nan, 2.0, 4.0, 3.0]
    seen = set()
    for generation in range(40):
        chosen = parents(scores, "min", 0, generation)
        losers = [position for position, winner in enumerate(chosen) if winner != position]
        assert len(losers) == 3
        assert len({chosen[loser] for loser in losers}) == 3
        for loser in losers:
            winner = chosen[loser]
            assert chosen[winner] == winner
            assert math.isnan(scores[loser]) or scores[winner] < scores[loser]
        assert 1 not in losers
        assert 2 in losers
        seen.add(tuple(chosen))
        reversed_scores = [-score for score in scores]
        assert parents(reversed_scores, "max", 0, generation) == chosen
    assert len(seen) > 5
    assert parents(scores, "min", 0, 3) == parents(scores, "min", 0, 3)


def test_an_odd_member_and_a_pair_that_failed_stay_what_they_are():
    sitting = [parents([1.0, 2.0, 3.0], "min", 0, g) for g in range(20)]
    assert all(sum(winner != p for p, winner in enumerate(chosen)) == 1 for chosen in sitting)
    assert parents([math.nan, math.inf], "min", 0, 0) == [0, 1]


def test_the_improvement_ratio_stops():
    assert not settled([10.0, 9.0, 8.0], 4, 5e-4)
    assert settled([10.0, 10.0, 9.996, 9.999], 4, 5e-4)
    assert not settled([10.0, 10.0, 9.99, 9.999], 4, 5e-4)
    assert settled([99.0, 1.0, 1.0, 1.0, 1.0], 4, 0.0)
    assert settled([-1.0, -1.0, -0.9, -1.0001], 4, 5e-4)
    assert not settled([1.0] * 9, 4, None)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: RangeConfig(RATE, 2.0, 1.0), "low is at most high"),
        (lambda: RangeConfig(RATE, 0.0, 1.0, "log_uniform"), "log_uniform needs low above 0"),
        (lambda: RangeConfig(RATE, 0.0, 1.0, "fixed"), "start=fixed, and only that, takes a value"),
        (lambda: RangeConfig(RATE, 0.0, 1.0, "fixed", 2.0), "within the bounds"),
        (lambda: RangeConfig(RATE, 0.0, 1.0, "normal"), "start is one of"),
        (lambda: RangeConfig(RATE, weight=1.0), "weight is in"),
        (lambda: SearchConfig(population=1), "population is at least 2"),
        (lambda: SearchConfig(kind="grid"), "kind is one of"),
        (lambda: SearchConfig(ray_address="auto"), "ray_address is for runner=ray"),
        (lambda: SearchConfig(runner="ray", batched="true"), "batched=true is for runner=local"),
        (lambda: StopConfig(generations=1), "generations is at least 2"),
        (lambda: space_of(RangeConfig("model.dropuot")), "did you mean model.dropout"),
        (lambda: space_of(RangeConfig("model.observation")), "no number is called 'model.observation'"),
        (lambda: space_of(RANGES[0], RANGES[0]), "stands there twice"),
        (lambda: space_of(), "search.space is empty"),
        (lambda: small_settings().with_values({"model.dropout": 1.5}), r"dropout is in \[0, 1\), got 1.5"),
        (lambda: small_settings().with_values({RATE: -1.0}), "learning_rate is above 0, got -1.0"),
    ],
)
def test_what_makes_no_sense_is_refused(make, sentence):
    with pytest.raises((InputError, ValueError), match=sentence):
        make()


def test_the_default_space_is_the_published_one():
    settings = small_settings()
    ranges = {one.key: one for one in default_space(settings, 100)}
    assert len(ranges) == 7
    rate = ranges[RATE]
    assert (rate.low, rate.high, rate.value, rate.weight, rate.enforce) == (1e-5, 5e-3, 4e-3, 0.3, True)
    # Beside a reconstruction that is a mean over 100 entries a nat counts 100 times as much.
    assert ranges["model.kl.controls"].high == pytest.approx(1e-2)
    assert not ranges["model.kl.controls"].enforce
    published = replace(settings, model=replace(settings.model, reconstruction="published_mean"))
    ranges = {one.key: one for one in default_space(published, 100)}
    assert (ranges["model.kl.controls"].low, ranges["model.kl.controls"].high) == (1e-6, 1e-4)
    assert ranges["model.kl.initial_condition"].high == 1e-3
    autonomous = {one.key for one in default_space(replace(settings, model=LFADSConfig()), 100)}
    assert not {key for key in autonomous if "control" in key}
    of_lds = [one.key for one in default_space(replace(settings, model=LDSConfig()), 100)]
    assert of_lds == [RATE, "model.dropout", "model.coordinated_dropout"]


def test_one_generation_ends_with_the_burn_in():
    space = small_space(small_settings())
    population = Population.first({}, space, 2)
    ends = []
    while not ends or ends[-1] < 100:
        ends.append(population.next_end(small_search(generation_epochs=25), 30, 100))
        members = [replace(member, epoch=ends[-1]) for member in population.members]
        population = replace(population, members=members)
    assert ends == [25, 30, 55, 80, 100]
