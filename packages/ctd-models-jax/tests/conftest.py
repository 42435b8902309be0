"""Compilations are most of these tests' time: cheaper ones, each kept for the session.

Tests check what is computed, not how fast, and XLA's optimisations take longer than the toys they optimise.
"""

from __future__ import annotations

import os
import tempfile

import pytest

# Before JAX first computes; processes that tests start inherit both.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false",
)
_FOLDER = tempfile.TemporaryDirectory(prefix="compiled")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", _FOLDER.name)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


@pytest.fixture(scope="session", autouse=True)
def compiled():
    """The folder goes with the session."""
    yield
    _FOLDER.cleanup()
