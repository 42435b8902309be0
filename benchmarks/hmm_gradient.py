"""Gradient of a hidden Markov chain's normaliser by its posterior marginals, against JAX's through the scan.

64 chains of 184 bins and 2 modes, as MR-SDS has them, 2 cores; beside them the same with products in a tree
(``associative``), for more modes and for longer chains as well, each in units of the scan with its marginals.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable

THREADS, REPEATS, CALLS = 2, 7, 5
os.environ["NPROC"] = str(THREADS)

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from timing import compare  # noqa: E402

from ctd_models_jax.mrsds import hmm  # noqa: E402

SIZES = {"": (64, 184, 2), "_8_modes": (64, 184, 8), "_5000_bins": (8, 5000, 3)}


def chains(trials: int, bins: int, modes: int) -> tuple[jax.Array, ...]:
    """Random logits."""
    rng = np.random.default_rng(0)
    shapes = ((trials, modes), (trials, bins - 1, modes, modes), (trials, bins, modes))
    return tuple(jax.nn.log_softmax(jnp.asarray(rng.normal(size=shape), jnp.float32)) for shape in shapes)


def gradient(backend: str) -> Callable:
    """Of the sum of all normalisers, compiled."""
    return jax.jit(jax.grad(lambda args: hmm.log_normalizer(*args, backend=backend).sum()))  # type: ignore[arg-type]


def side(backend: str, size: tuple[int, int, int]) -> Callable[[], float]:
    """A function that gives the seconds of one gradient."""
    function, args = gradient(backend), chains(*size)

    def run() -> float:
        begin = time.perf_counter()
        for _ in range(CALLS):
            jax.block_until_ready(function(args))
        return (time.perf_counter() - begin) / CALLS

    return run


def check(size: tuple[int, int, int]) -> float:
    """Largest difference of any backend's gradient from that through the scan; gradients are at most 1."""
    args = chains(*size)
    plain = gradient("plain")(args)
    worst = 0.0
    for backend in ("scan", "associative"):
        for one, other in zip(gradient(backend)(args), plain, strict=True):
            worst = max(worst, float(jnp.abs(one - other).max()))
    if not worst < 1e-3:
        raise RuntimeError(f"the gradients differ by {worst:.2g}")
    return worst


def measure() -> dict:
    """See the top; medians in seconds a gradient."""
    result = compare("hmm_gradient", side("scan", SIZES[""]), side("plain", SIZES[""]), repeats=REPEATS)
    worst, found = 0.0, {}
    for name, size in SIZES.items():
        worst = max(worst, check(size))
        sides = {backend: side(backend, size) for backend in ("scan", "plain", "associative")}
        taken = [{backend: run() for backend, run in sides.items()} for _ in range(4)][1:]
        times = {backend: statistics.median(times[backend] for times in taken) for backend in sides}
        found[f"scan{name}_s"] = times["scan"]
        found |= {f"{backend}{name}": times[backend] / times["scan"] for backend in ("plain", "associative")}
    return result | found | {"threads": THREADS, "difference": worst}


if __name__ == "__main__":
    print(json.dumps(measure()))
