"""Hyperparameter search: population-based training and random search."""
