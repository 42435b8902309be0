"""Figures of an analysis: each function takes an `AnalysisResult` and returns a matplotlib `Figure`."""

from ctd_analysis.figures.eigenvalues import eigenvalue_figure
from ctd_analysis.figures.rates import rate_figure
from ctd_analysis.figures.scores import score_figure
from ctd_analysis.figures.trajectories import trajectory_figure

__all__ = ["eigenvalue_figure", "rate_figure", "score_figure", "trajectory_figure"]
