"""What is searched where nobody says it."""

from __future__ import annotations

from functools import partial

from ctd_models_torch.lfads.config import LFADSConfig
from ctd_models_torch.search.config import RangeConfig
from ctd_models_torch.search.space import Settings


def default_space(settings: Settings, entries: int) -> list[RangeConfig]:
    """The hyperparameters that suit a model.

    Args:
        settings: Of the model and its training.
        entries: Bins times neurons of a trial.
    """
    if isinstance(settings.model, LFADSConfig):
        return _lfads(settings.model, entries)
    rate = settings.training.learning_rate
    ranges = [
        RangeConfig("training.learning_rate", rate / 100, 2 * rate, "fixed", rate),
        RangeConfig("model.dropout", 0.0, 0.6),
        RangeConfig("model.coordinated_dropout", 0.01, 0.7, "fixed", 0.5),
    ]
    known = settings.numeric()
    return [one for one in ranges if one.key in known]


def _lfads(model: LFADSConfig, entries: int) -> list[RangeConfig]:
    """Of the published AutoLFADS (Keshtkaran et al. 2022; Pei et al. 2021).

    There the reconstruction is a mean over bins and neurons, beside which a divergence weighs as many times
    more; where it is a sum, as in the bound, the weights are multiplied by that.
    """
    nats = 1 if model.reconstruction == "published_mean" else entries
    free = partial(RangeConfig, start="log_uniform", weight=0.8, enforce=False)
    ranges = [
        RangeConfig("training.learning_rate", 1e-5, 5e-3, "fixed", 4e-3),
        RangeConfig("model.dropout", 0.0, 0.6),
        RangeConfig("model.coordinated_dropout", 0.01, 0.7, "fixed", 0.5),
        free("model.kl.initial_condition", 1e-6 * nats, 1e-3 * nats),
        free("model.l2.generator", 1e-4, 1.0),
    ]
    if model.controller.exists:
        ranges += [
            free("model.kl.controls", 1e-6 * nats, 1e-4 * nats),
            free("model.l2.controller", 1e-4, 1.0),
        ]
    return ranges
