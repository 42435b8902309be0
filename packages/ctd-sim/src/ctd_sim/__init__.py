"""Spikes from states: simulated recordings with their truth."""
