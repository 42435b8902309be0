"""The metrics, one file each; `METRICS` lists them in the order of a table, all but those of forecasts."""

from ctd_analysis.metrics.activity_r2 import ActivityR2, CoR2, activity_r2
from ctd_analysis.metrics.base import Block, Ends, Estimates, Metric, Session, block_of
from ctd_analysis.metrics.behavior_r2 import BehaviorR2, behavior_r2
from ctd_analysis.metrics.bps import Bps, bps
from ctd_analysis.metrics.co_bps import CoBps, co_bps
from ctd_analysis.metrics.condition_accuracy import ConditionAccuracy, condition_accuracy
from ctd_analysis.metrics.cycle_consistency import CycleConsistency, cycle_consistency
from ctd_analysis.metrics.effectome import EffectomeCosine, MessageNorm, effectome
from ctd_analysis.metrics.forecast_r2 import ForecastR2, forecast_metrics, forecast_r2
from ctd_analysis.metrics.fp_bps import FpBps, fp_bps
from ctd_analysis.metrics.input_r2 import INPUT_METRICS, input_r2
from ctd_analysis.metrics.message_cosine import MessageCosine, message_cosine
from ctd_analysis.metrics.message_r2 import MessageR2, message_r2
from ctd_analysis.metrics.mode_accuracy import ModeAccuracy, mode_accuracy
from ctd_analysis.metrics.psth_r2 import PsthR2, psth_r2
from ctd_analysis.metrics.rate_r2 import LogRateR2, RateR2, log_rate_r2, rate_r2
from ctd_analysis.metrics.state_r2 import StateR2InferredToTrue, StateR2TrueToInferred, state_r2

METRICS: tuple[type[Metric], ...] = (
    RateR2,
    LogRateR2,
    ActivityR2,
    StateR2TrueToInferred,
    StateR2InferredToTrue,
    *INPUT_METRICS,
    ModeAccuracy,
    MessageCosine,
    MessageR2,
    EffectomeCosine,
    MessageNorm,
    CoBps,
    CoR2,
    Bps,
    FpBps,
    PsthR2,
    BehaviorR2,
    ConditionAccuracy,
    CycleConsistency,
)

__all__ = [
    "INPUT_METRICS",
    "METRICS",
    "Block",
    "Ends",
    "Estimates",
    "ForecastR2",
    "Metric",
    "Session",
    "activity_r2",
    "behavior_r2",
    "block_of",
    "bps",
    "co_bps",
    "condition_accuracy",
    "cycle_consistency",
    "effectome",
    "forecast_metrics",
    "forecast_r2",
    "fp_bps",
    "input_r2",
    "log_rate_r2",
    "message_cosine",
    "message_r2",
    "mode_accuracy",
    "psth_r2",
    "rate_r2",
    "state_r2",
]
