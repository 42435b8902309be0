"""Spike counts of a given mean and Fano factor."""

from ctd_sim.counts.base import CountModel, Generators, count_model

__all__ = ["CountModel", "Generators", "count_model"]
