"""Which device JAX computes on, settled before it is first imported."""

from __future__ import annotations

import ctypes
import importlib.util
import os


def prepare(threads: int) -> None:
    """Give JAX's CPU client so many threads, and keep JAX off CUDA where there is no driver.

    The CUDA plugin of the extra ``cuda13`` doesn't fall back to the CPU by itself: without NVIDIA's driver
    the version check of CUPTI ends the process.
    """
    os.environ["NPROC"] = str(threads)  # what XLA's CPU client takes the size of its thread pool from
    if importlib.util.find_spec("jax_cuda13_plugin") is not None and not has_cuda_driver():
        os.environ.setdefault("JAX_PLATFORMS", "cpu")


def has_cuda_driver() -> bool:
    """Whether NVIDIA's driver library can be loaded."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
