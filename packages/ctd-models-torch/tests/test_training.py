"""What the training runner is told: lengths, rates, scores."""

import math
from dataclasses import replace

import pytest
import torch
from toys import batch_of, model_of, shape_of, small_config

from ctd_models_torch.config import FitConfig, GrowthConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.training import FINAL_RATE, ModelTraining, check_config, scored_bins


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
    return ModelTraining(model, FitConfig(**settings), scored_per_trial=(7 + 3 + 5 + 7 + 1) * 6 / 5), tensors


def test_validation_scores_whole_trials_whatever_is_trained_on(random):
    """A truncated score would make the first, shortest epochs look best."""
    module, batch = module_of(random, growth=GrowthConfig(start_bins=2, full_at=1.0))
    score = module.scores(batch)["loss"]
    grown = ModelTraining(module.model, FitConfig(), scored_per_trial=module.scored_per_trial)
    torch.testing.assert_close(score, grown.scores(batch)["loss"])


def test_the_score_is_the_mean_over_scored_entries_however_batches_are_cut(random):
    module, batch = module_of(random)
    whole = module.scores(batch)["loss"].item()
    parts = [{name: tensor[rows] for name, tensor in batch.items()} for rows in (slice(0, 2), slice(2, 5))]
    cut = sum(module.scores(part)["loss"].item() * len(part["rows"]) for part in parts) / 5
    assert cut == pytest.approx(whole, rel=1e-5)


def test_the_cosine_rises_then_falls():
    config = FitConfig(max_epochs=20, schedule="cosine", warmup=0.25)
    module = ModelTraining(torch.nn.Linear(1, 1), config, scored_per_trial=1.0)
    rates = [module.rate(epoch) for epoch in range(21)]
    assert rates[:5] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert rates[5] == 1.0
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[20] == pytest.approx(FINAL_RATE)


def test_the_plateau_lowers_the_rate_after_waiting():
    config = FitConfig(schedule="plateau", plateau_factor=0.5, plateau_patience=2, warmup=0.0)
    module = ModelTraining(torch.nn.Linear(1, 1), config, scored_per_trial=1.0)
    rates = []
    for score in (3.0, 2.0, 2.5, 2.5, 2.5, 2.5, 1.0, math.nan):
        module._watch(score)
        rates.append(module.rate(5))
    assert rates == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]
    assert "plateau" in module.state_dict(), "a resumed run must go on with the same rate"


@pytest.mark.parametrize(
    ("setting", "value"),
    [("batch_size", 0), ("schedule", "linear"), ("warmup", 1.0), ("growth", GrowthConfig(0))],
)
def test_settings_out_of_range_are_named(setting, value):
    with pytest.raises(InputError, match=setting):
        check_config(replace(FitConfig(), **{setting: value}))
