"""Reference predictions: what simple methods, tuned, know of a recording's activity.

Each learns from the training split alone, chooses its settings on the valid split, and sees of any other
trial what an encoder may see: held-in neurons in bins that aren't to be predicted.
"""

from ctd_analysis.baselines.config import (
    BASELINES,
    BaselineConfig,
    ConditionAverageConfig,
    FactorAnalysisConfig,
    LinearDynamicsConfig,
    ReducedRankConfig,
    SmoothingConfig,
)
from ctd_analysis.baselines.predict import Prediction, predict, write_prediction

__all__ = [
    "BASELINES",
    "BaselineConfig",
    "ConditionAverageConfig",
    "FactorAnalysisConfig",
    "LinearDynamicsConfig",
    "Prediction",
    "ReducedRankConfig",
    "SmoothingConfig",
    "predict",
    "write_prediction",
]
