"""The report: one self-contained HTML page with scores, rates, trajectories, fixed points and definitions."""

from ctd_analysis.report.write import write_report

__all__ = ["write_report"]
