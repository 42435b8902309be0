"""Composes the commands of the other packages into a benchmark."""
