"""What a fixed point makes zero: G(x) = F(x, u) - x under one constant input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from threadpoolctl import ThreadpoolController

from ctd_analysis.results import Floats, Integers
from ctd_contract.dynamics import Dynamics

# Matrices of one chunk stay near 2 MB, within cache, whatever the number of points.
_CHUNK_ENTRIES = 2**18

Advance = Callable[[Integers], None]


class Residual:
    """G of some dynamics, evaluated for many points at once.

    Args:
        dynamics: Anything with `step` and `step_and_jacobian`.
        input: The constant input, (input,).
        mode: The constant mode of switching dynamics; None without modes.
        run: How chunks are gone through: one after another, or that of `threads`.
    """

    def __init__(
        self,
        dynamics: Dynamics,
        input: Floats,  # noqa: A002
        mode: int | None = None,
        run: Callable[[Advance, Iterable[Integers]], Iterable[None]] = map,
    ) -> None:
        self._dynamics = dynamics
        self._input = input
        self._mode = mode
        self._run = run
        self._diagonal = np.arange(dynamics.state_size)

    def __call__(self, state: Floats) -> Floats:
        """G, (point, state); not finite where F overflows."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._dynamics.step(state, self._input, self._mode) - state

    def with_matrix(self, state: Floats) -> tuple[Floats, Floats]:
        """G and dG/dx = dF/dx - 1, (point, state) and (point, state, state)."""
        with np.errstate(over="ignore", invalid="ignore"):
            new_state, matrix = self._dynamics.step_and_jacobian(state, self._input, self._mode)
        matrix[:, self._diagonal, self._diagonal] -= 1.0
        return new_state - state, matrix

    def in_chunks(self, advance: Advance, points: Integers) -> None:
        """Calls `advance` with indices in portions whose matrices fit into cache; it works on those alone."""
        size = max(1, _CHUNK_ENTRIES // len(self._diagonal) ** 2)
        for _ in self._run(advance, (points[start : start + size] for start in range(0, len(points), size))):
            pass


@contextmanager
def threads() -> Iterator[Callable[[Advance, Iterable[Integers]], Iterable[None]]]:
    """A `map` over as many threads as BLAS may use, and BLAS itself on one: small matrices don't feed two."""
    blas = ThreadpoolController().select(user_api="blas")
    count = max((library["num_threads"] for library in blas.info()), default=1)
    with blas.limit(limits=1), ThreadPoolExecutor(count) as pool:
        yield pool.map


def norms(vectors: Floats) -> Floats:
    """Euclidean norm of each row; inf where it isn't finite, so that it never compares as better."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(vectors, axis=-1)
    return np.where(np.isfinite(lengths), lengths, np.inf).astype(np.float64)
