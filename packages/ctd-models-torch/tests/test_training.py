"""What the training runner is told: lengths, rates, scores."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import batch_of, model_of, shape_of, small_config

import ctd_contract as cc
from ctd_models_torch.batch import Batch
from ctd_models_torch.config import FitConfig, GrowthConfig, RecordingConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.recording import Recording
from ctd_models_torch.shape import Shape
from ctd_models_torch.training import FINAL_RATE, ModelTraining, check_config, scored_bins
from ctd_models_torch.validation import Validation


def test_the_scored_length_grows_to_the_whole_trial():
    config = FitConfig(max_epochs=100, growth=GrowthConfig(start_bins=10, full_at=0.5))
    lengths = [scored_bins(config, epoch, 50) for epoch in range(100)]
    assert lengths[0] == 10
    assert lengths[25] == 30
    assert lengths[49] < 50
    assert lengths[50:] == [50] * 50
    assert lengths == sorted(lengths)


def test_without_growth_and_in_short_trials_all_bins_are_scored():
    assert scored_bins(FitConfig(growth=GrowthConfig(None)), 0, 50) == 50
    assert scored_bins(FitConfig(growth=GrowthConfig(80)), 0, 50) == 50


def module_of(random, **settings):
    shape = shape_of()
    model = model_of(small_config("gru"), shape)
    batch = batch_of(random, shape, lengths=[7, 3, 5, 7, 1])
    tensors = {"data": batch.data, "lengths": batch.lengths, "rows": batch.rows, "inputs": batch.inputs}
    return ModelTraining(model, FitConfig(**settings), [Validation((7 + 3 + 5 + 7 + 1) * 6 / 5)]), tensors


def test_validation_scores_whole_trials_whatever_is_trained_on(random):
    """A truncated score would make the first, shortest epochs look best."""
    module, batch = module_of(random, growth=GrowthConfig(start_bins=2, full_at=1.0))
    score = module.scores(batch)["loss"]
    grown = ModelTraining(module.model, FitConfig(), module.validations)
    torch.testing.assert_close(score, grown.scores(batch)["loss"])


def test_the_score_is_the_mean_over_scored_entries_however_batches_are_cut(random):
    module, batch = module_of(random)
    whole = module.scores(batch)["loss"].item()
    parts = [{name: tensor[rows] for name, tensor in batch.items()} for rows in (slice(0, 2), slice(2, 5))]
    cut = sum(module.scores(part)["loss"].item() * len(part["rows"]) for part in parts) / 5
    assert cut == pytest.approx(whole, rel=1e-5)


def test_the_cosine_rises_then_falls():
    config = FitConfig(max_epochs=20, schedule="cosine", warmup=0.25)
    module = ModelTraining(torch.nn.Linear(1, 1), config, [Validation(1.0)])
    rates = [module.rate(epoch) for epoch in range(21)]
    assert rates[:5] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert rates[5] == 1.0
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[20] == pytest.approx(FINAL_RATE)


def test_the_plateau_lowers_the_rate_after_waiting():
    config = FitConfig(schedule="plateau", plateau_factor=0.5, plateau_patience=2, warmup=0.0)
    module = ModelTraining(torch.nn.Linear(1, 1), config, [Validation(1.0)])
    rates = []
    for score in (3.0, 2.0, 2.5, 2.5, 2.5, 2.5, 1.0, math.nan):
        module._watch(score)
        rates.append(module.rate(5))
    assert rates == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]
    assert "plateau" in module.state_dict(), "a resumed run must go on with the same rate"


def test_the_plateau_watches_the_smoothed_score_and_has_a_floor():
    config = FitConfig(
        schedule="plateau",
        plateau_factor=0.1,
        plateau_patience=0,
        plateau_floor=1e-3,
        learning_rate=5e-3,
        smoothing=0.5,
        warmup=0.0,
    )
    module = ModelTraining(torch.nn.Linear(1, 1), config, [Validation(1.0)])
    rates = []
    for score in (3.0, 1.0, 2.5, 1.9, 9.0):  # smoothed: 3, 2, 2.25, 2.075, ...
        module._watch(score)
        rates.append(module.rate(5))
    assert rates == pytest.approx([1, 1, 0.2, 0.2, 0.2])


def test_adamw_shrinks_weights_that_have_no_gradient():
    config = FitConfig(optimizer="adamw", learning_rate=0.1, weight_decay=0.5)
    module = ModelTraining(torch.nn.Linear(1, 1), config, [Validation(1.0)])
    optimizer = module.make_optimizer(config)
    before = module.model.weight.item()
    module.model.weight.grad = torch.zeros(1, 1)
    optimizer.step()
    assert module.model.weight.item() == pytest.approx(before * (1 - 0.1 * 0.5))


def test_bits_per_spike_are_those_of_the_whole_set_in_each_region(ragged):
    """Against the definition, written out, whatever the batches are."""
    with cc.open(ragged) as file:
        data = Recording(file, RecordingConfig())
        model = model_of(small_config("gru"), Shape.of(data, None))
        module = ModelTraining(model, FitConfig(), [Validation.of(data)])
        rows = data.rows("valid")
        parts = [data.read(part) for part in (rows[:1], rows[1:])]
        scores = [module.scores(part) for part in parts]
        found = {
            name: sum(
                score[name].item() * len(part["rows"]) for score, part in zip(scores, parts, strict=True)
            )
            / len(rows)
            for name in scores[0]
        }
        batch = Batch.of(data.read(rows))
        rates = model.infer(batch).prediction.detach().exp().numpy()
        spikes, kept = batch.data.numpy(), batch.scored.expand_as(batch.data).numpy()
        forward, held_out = file.forward[:, None], file.held_out[None]
    regions = {
        "bps": ~forward & ~held_out,
        "co_bps": ~forward & held_out,
        "fp_bps": forward | (held_out & False),
    }
    assert set(found) == {"loss", *regions}
    for name, region in regions.items():
        gain = 0.0
        for neuron in range(spikes.shape[2]):
            inside = kept[..., neuron] & region[:, neuron]
            count, rate = spikes[..., neuron][inside], rates[..., neuron][inside]
            if count.sum():
                null = count.mean()
                gain += (count * np.log(rate / null) - rate + null).sum()
            else:
                gain -= rate.sum()
        expected = gain / (spikes[kept & region].sum() * math.log(2))
        assert found[name] == pytest.approx(expected, rel=1e-4), name


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("optimizer", "sgd"),
        ("epsilon", 0.0),
        ("plateau_factor", 0.0),
        ("batch_size", 0),
        ("schedule", "linear"),
        ("warmup", 1.0),
        ("growth", GrowthConfig(0)),
    ],
)
def test_settings_out_of_range_are_named(setting, value):
    with pytest.raises(InputError, match=setting):
        check_config(replace(FitConfig(), **{setting: value}))
