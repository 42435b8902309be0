"""Inference bin by bin, while trials are running."""

from ctd_models_torch.streaming.stream import Stream

__all__ = ["Stream"]
