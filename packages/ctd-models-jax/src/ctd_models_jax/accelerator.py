"""Which device JAX computes on."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys


def set_threads(threads: int) -> None:
    """Give JAX's CPU client so many threads; heard only before JAX first computes and SciPy is loaded."""
    os.environ["NPROC"] = str(threads)  # what XLA's CPU client takes the size of its thread pool from
    # Cholesky factors are SciPy's, one small matrix after another: from 32 rows on OpenBLAS would share each
    # between threads, which then wait for each other most of the time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def leave_cuda_without_driver() -> None:
    """Have JAX compute on the CPU where CUDA's plugin is installed and NVIDIA's driver is not.

    The plugin of the extra ``cuda13`` doesn't fall back to the CPU by itself: without a driver the version
    check of CUPTI ends the process with a segmentation fault, the first time that JAX looks for devices.
    """
    if importlib.util.find_spec("jax_cuda13_plugin") is None or has_cuda_driver():
        return
    if "JAX_PLATFORMS" not in os.environ:
        os.environ["JAX_PLATFORMS"] = "cpu"
        if "jax" in sys.modules:  # has read the variable already
            sys.modules["jax"].config.update("jax_platforms", "cpu")


def has_cuda_driver() -> bool:
    """Whether NVIDIA's driver library can be loaded."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
