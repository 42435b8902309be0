"""Fixed and slow points of dynamics, and their matching between truth and model."""

from ctd_analysis.fixed_points.find import FixedPointSearch, Region, find_fixed_points
from ctd_analysis.fixed_points.match import MatchSettings, match_fixed_points

__all__ = ["FixedPointSearch", "MatchSettings", "Region", "find_fixed_points", "match_fixed_points"]
