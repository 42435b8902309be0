"""Toy files with known dynamics, and golden files of every version: for tests, docs and first steps."""

from __future__ import annotations

from .golden import GOLDEN_DIGESTS, golden_path
from .toys import make_inference, make_recording, make_task

__all__ = ["GOLDEN_DIGESTS", "golden_path", "make_inference", "make_recording", "make_task"]
