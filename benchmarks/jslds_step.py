"""Training step of the JSLDS on the 3-bit memory: 256 trials, 25 bins, a GRU of 100 units, 2 cores.

The slow side is the same mathematics op by op, not compiled. Beside it stand the step as one would write it
down, compiled as well (each trial by itself, inputs projected in every bin, the cell called for its value and
again for its derivative), and 8 seeds in one call, in turn and as one batch, in units of one.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

THREADS, STEPS, REPEATS, SEEDS = 2, 4, 5, 8
os.environ["NPROC"] = str(THREADS)

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import optax  # noqa: E402
from timing import compare  # noqa: E402

from ctd_models_jax.jslds import JSLDS, Rollout  # noqa: E402
from ctd_models_jax.tasks import TASKS, draw  # noqa: E402
from ctd_models_jax.training import Epoch, Generated, Stage  # noqa: E402
from ctd_models_jax.training.fit import compiled, start  # noqa: E402

TASK = TASKS["bit_memory"]()
MODEL = JSLDS(inputs=6, outputs=3)
BATCHES = Generated(partial(draw, TASK, n_trials=256), STEPS)
STAGE = Stage(steps=STEPS, learning_rate=1e-3, clip=10.0)
KEY = jax.random.key(0)


class PlainJSLDS(JSLDS):
    """The equations as they stand, trial by trial; the loss is the same."""

    def infer(self, params, inputs, *, noise=None):  # type: ignore[override]
        """Scan over the bins of each trial, without noise."""
        if noise is not None:
            raise ValueError("the plain scan has no noise")

        def cell(h, u):
            return params.cell(h[None], params.cell.project(u)[None])[0]

        def step(carry, u):
            h, a = carry
            point, rest = params.expansion(a), jnp.zeros_like(u)
            along = jax.jvp(cell, (point, rest), (a - point, u - rest))[1]
            drift = cell(point, rest) - point
            new = (cell(h, u), point + along)
            return new, (*new, point, drift, rest)

        def trial(inputs):
            return jax.lax.scan(step, (params.initial_state, params.initial_state), inputs)[1]

        h, a, points, drift, rest = jax.vmap(trial)(inputs)
        return Rollout(h, self.read(params, h), a, self.read(params, a), points, drift, rest)


def training(model: JSLDS, keys: jax.Array, *, batch: bool = True) -> Callable[[], object]:
    """A function that runs STEPS compiled steps and gives their figures; several keys are as many seeds."""
    params = jax.vmap(lambda key: model.initialize(key)[0])(keys) if keys.shape else model.initialize(keys)[0]
    optimizer = STAGE.optimizer(STEPS)
    epoch = Epoch(model.loss, None, BATCHES, optimizer, jax.tree.map(lambda _: None, params))
    call = compiled(epoch, seeds=keys.shape, batch=batch)
    state = start(params, jax.tree.map(lambda _: True, params), optimizer, seeds=keys.shape)

    def run() -> object:
        nonlocal state
        state, figures = call(state, None, None, keys)
        return jax.block_until_ready(figures)

    return run


def op_by_op() -> Callable[[], object]:
    """One step without compilation: draw, loss, gradient, clipping, Adam."""
    params, _ = MODEL.initialize(KEY)
    optimizer = STAGE.optimizer(STEPS)
    carry = (params, optimizer.init(params))

    def run() -> object:
        nonlocal carry
        with jax.disable_jit():
            params, state = carry
            trials = BATCHES.draw(KEY)
            gradient = jax.grad(lambda p: jnp.sum(jnp.stack(list(MODEL.loss(p, trials).values()))))(params)
            updates, state = optimizer.update(gradient, state, params)
            carry = (optax.apply_updates(params, updates), state)
        return jax.block_until_ready(carry)

    return run


def check() -> float:
    """Largest difference of the gradients of both ways of writing, relative to the largest entry."""
    params, _ = MODEL.initialize(KEY)
    plain, trials = PlainJSLDS(**vars(MODEL)), draw(TASK, KEY, 16)

    def gradient(model):
        return jax.grad(lambda p: sum(model.loss(p, trials).values()))(params)

    worst = 0.0
    for one, other in zip(*map(jax.tree.leaves, (gradient(MODEL), gradient(plain))), strict=True):
        worst = max(worst, float(jnp.abs(one - other).max() / jnp.abs(other).max()))
    if not worst < 1e-3:
        raise RuntimeError(f"the two ways differ by {worst:.2g}")
    return worst


def medians(sides: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of each side, run in turn, once unmeasured."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(REPEATS + 1):
        for name, side in sides.items():
            begin = time.perf_counter()
            side()
            taken[name].append((time.perf_counter() - begin) / STEPS)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def measure() -> dict:
    """See the top; medians in seconds a step."""
    difference = check()
    fast = training(MODEL, KEY)
    result = compare("jslds_step", fast, op_by_op(), repeats=REPEATS)
    result["fast_s"] /= STEPS
    result["ratio"] *= STEPS
    times = medians(
        {
            "one": fast,
            "plain": training(PlainJSLDS(**vars(MODEL)), KEY),
            "batched": training(MODEL, jax.random.split(KEY, SEEDS)),
            "in_turn": training(MODEL, jax.random.split(KEY, SEEDS), batch=False),
        }
    )
    return result | {
        "plain_scan_s": times["plain"],
        "plain_scan": times["plain"] / times["one"],
        "seeds": SEEDS,
        "seeds_in_single_steps": times["in_turn"] / times["one"],
        "seeds_in_single_steps_batched": times["batched"] / times["one"],
        "trials": 256,
        "threads": THREADS,
        "difference": difference,
    }


if __name__ == "__main__":
    print(json.dumps(measure()))
