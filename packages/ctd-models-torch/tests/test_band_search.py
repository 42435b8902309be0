"""BAND as a batched population: weights and dropout of behaviour, and targets, that differ among members."""

from dataclasses import replace

import pytest
from search_toys import RANGES, small_lfads, small_task
from test_search_members import first_members, largest_difference, train

from ctd_models_torch.config import LinearReadoutConfig
from ctd_models_torch.lfads.behavior_config import BEHAVIOR_DECODERS, BANDConfig, BehaviorConfig
from ctd_models_torch.lfads.config import KLConfig, RampConfig
from ctd_models_torch.search.config import RangeConfig
from ctd_models_torch.search.space import Settings

OWN = [
    RANGES[0],
    RangeConfig("model.behavior.weight", 0.1, 5.0, "log_uniform"),
    RangeConfig("model.behavior.dropout", 0.1, 0.6),
    RangeConfig("model.kl.controls_target", 0.5, 2.0),
]


@pytest.mark.parametrize("decoder", BEHAVIOR_DECODERS)
def test_members_together_are_members_alone(decoder, ragged):
    fields = vars(small_lfads()) | {"kl": KLConfig(controls_target=1.0, ramp=RampConfig(0, 1))}
    model = BANDConfig(**fields, behavior=BehaviorConfig(decoder, past_bins=2))
    base = small_task(ragged, precision="64-true")
    task = replace(base, settings=Settings(model, LinearReadoutConfig(), base.settings.training))
    members = first_members(task, 3, OWN)
    alone, together = (train(task, members, 2, batched=batched) for batched in (False, True))
    for index, (one, other) in enumerate(zip(alone, together, strict=True)):
        assert largest_difference(one, other) < 1e-9
        assert largest_difference(one, alone[index - 1]) > 1e-3
