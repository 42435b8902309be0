"""Training step of MR-SDS: 64 trials, 184 bins, 3 regions of 121, 159 and 220 neurons, 2 cores.

Two states a region, emission networks of two layers of 128, a transformer as published, the structured
posterior and 10 bins of overshooting; random numbers, clipping and Adam included. The slow side is the
equations as they stand (a network from each region to each, one after another, bin by bin; a pass over all
bins for each bin of overshooting), op by op without compilation. Beside it stand the same equations compiled,
and 8 seeds in one call, as one batch and in turn, in units of one.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

THREADS, SEEDS = 2, 8
os.environ["NPROC"] = str(THREADS)

import equinox as eqx  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from timing import compare  # noqa: E402

from ctd_models_jax.mrsds import MRSDS, Trials  # noqa: E402
from ctd_models_jax.mrsds.config import (  # noqa: E402
    DynamicsConfig,
    EmissionConfig,
    EncoderConfig,
    MRSDSConfig,
)
from ctd_models_jax.training import Epoch, Shuffled, Stage  # noqa: E402
from ctd_models_jax.training.fit import compiled, start  # noqa: E402

KEY = jax.random.key(0)
LOG_2PI = float(np.log(2 * np.pi))
STAGE = Stage(steps=1000, learning_rate=3e-3)


@dataclass(frozen=True)
class Size:
    """A model, its trials, and how many steps one call takes."""

    neurons: tuple[int, ...]
    bins: int
    steps: int
    settings: MRSDSConfig
    trials: int = 64

    @property
    def model(self) -> MRSDS:
        """Of Gaussian activity with two inputs."""
        regions = np.repeat(np.arange(len(self.neurons)), self.neurons)
        return MRSDS(tuple(regions.tolist()), (True,) * len(regions), 2, "gaussian", self.settings)

    def draw(self, n_trials: int, n_bins: int) -> Trials:
        """Trials of random activity and inputs."""
        rng, shape = np.random.default_rng(0), (n_trials, n_bins)
        values, inputs = rng.normal(size=(*shape, sum(self.neurons))), rng.normal(size=(*shape, 2))
        ones, scored = np.ones(shape, np.float32), np.ones(values.shape, np.float32)
        return Trials(values.astype(np.float32), ones, ones, scored, inputs.astype(np.float32))


# Sizes of the published example.
LARGE = Size(
    (121, 159, 220),
    184,
    2,
    MRSDSConfig(
        overshooting=10,
        dynamics=DynamicsConfig(output="next_state", by_mode="biases", input_layers=[4]),
        emissions=EmissionConfig(layers=[128, 128]),
        encoder=EncoderConfig(
            kind="transformer",
            embedding=[20, 10],
            heads=10,
            head_size=50,
            feed_forward=10,
            blocks=2,
            layers=[45],
        ),
    ),
)


def perceptron(network, values):
    """Layers one after another."""
    for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        values = jnp.dot(values, weight.T) + bias
        if layer < len(network.weights) - 1 and network.activation == "relu":
            values = jnp.maximum(values, 0)
    return values


def normalised(layer, values):
    """Layer normalisation."""
    mean, variance = values.mean(-1, keepdims=True), values.var(-1, keepdims=True)
    return (values - mean) / jnp.sqrt(variance + layer.eps) * layer.weight + layer.bias


def attend(block, values, visible):
    """A block of the transformer, head by head."""
    seen, mixed = normalised(block.first, values), 0.0
    for head in range(block.query.shape[1]):
        query, key, value = (jnp.dot(seen, block.query[part, head].T) for part in range(3))
        scores = jnp.einsum("btd,bsd->bts", query, key) / block.query.shape[2] ** 0.5
        weights = jax.nn.softmax(jnp.where(visible[:, None, :] > 0, scores, -1e30), -1)
        mixed = mixed + jnp.dot(jnp.einsum("bts,bsd->btd", weights, value), block.mixed[:, head].T)
    values = values + mixed
    return values + perceptron(block.feed_forward, normalised(block.second, values))


def encode(encoder, trials, kept, regions):
    """What the posterior is made of."""
    seen = jnp.where(kept[:, None] > 0, (trials.values - encoder.mean) / encoder.std, 0.0)
    parts = [
        jnp.maximum(perceptron(embedding, seen[..., regions == r]), 0)
        for r, embedding in enumerate(encoder.embeddings)
    ]
    values = perceptron(encoder.core.enter, jnp.concatenate([*parts, trials.inputs], -1))
    width = values.shape[-1]
    angles = np.arange(values.shape[1])[:, None] / 1e4 ** (np.arange(0, width, 2) / width)
    values = values + jnp.asarray(np.stack([np.sin(angles), np.cos(angles)], -1).reshape(-1, width))
    for block in encoder.core.blocks:
        values = attend(block, values, trials.visible)
    return perceptron(encoder.head, values)


def message(networks, region, source, values):
    """What one source tells one region."""
    for layer, weight in enumerate(networks.weights):
        values = jnp.dot(values, weight[0, region, source].T)
        if networks.biases is not None:
            values = values + networks.biases[layer][0, region, source]
        if layer < len(networks.weights) - 1:
            values = jnp.maximum(values, 0)
    return values


def move(dynamics, states, inputs):
    """F: where each region's states go."""
    n = dynamics.sizes[0]
    new = []
    for region in range(len(dynamics.sizes)):
        told = [
            message(dynamics.networks, region, j, states[..., n * j : n * (j + 1)])
            for j in range(len(dynamics.sizes))
        ]
        told += [
            message(dynamics.input_networks, region, j, inputs[..., j : j + 1])
            for j in range(inputs.shape[-1])
        ]
        new.append(sum(told))
    return jnp.concatenate(new, -1)


def log_likelihood(emissions, values, states):
    """Of all neurons and bins together."""
    n = emissions.sizes[0]
    parts = [
        perceptron(network, states[..., n * r : n * (r + 1)]) for r, network in enumerate(emissions.networks)
    ]
    deviation = jnp.exp(emissions.noise.log_scale)
    squares = ((values - jnp.concatenate(parts, -1)) / deviation) ** 2
    return jnp.sum(-0.5 * squares - 0.5 * LOG_2PI - jnp.log(deviation))


def divergence(offset, log_std, prior):
    """From N(offset, std²) to the prior's noise around 0, both diagonal."""
    ratio = jnp.exp(2 * (log_std - prior.log_scale))
    return jnp.sum(0.5 * (ratio + (offset / jnp.exp(prior.log_scale)) ** 2 - 1 - jnp.log(ratio)))


def plain_loss(model, params, trials, key):
    """The loss as one would write it down."""
    noise_key, dropout_key = jax.random.split(key)
    trials = jax.tree.map(jnp.asarray, trials)
    kept = jnp.ones((len(trials.values), len(model.neuron_regions)))
    if model.settings.dropout_trials:
        kept = model.kept_neurons(dropout_key, len(trials.values))
    code = encode(params.encoder, trials, kept, np.asarray(model.neuron_regions))
    offset, log_std = jnp.split(code, 2, -1)
    log_std = log_std + params.encoder_noise.log_scale
    moved = offset + jnp.exp(log_std) * jax.random.normal(noise_key, offset.shape)
    dynamics = params.dynamics

    def step(x, along):
        moved, inputs = along
        x = move(dynamics, x, inputs) + moved
        return x, x

    first = dynamics.initial_mean[0] + moved[:, 0]
    along = (jnp.swapaxes(moved[:, 1:], 0, 1), jnp.swapaxes(trials.inputs[:, 1:], 0, 1))
    rest = jax.lax.scan(step, first, along)[1]
    states = jnp.concatenate([first[:, None], jnp.swapaxes(rest, 0, 1)], 1)
    loss = divergence(offset[:, :1], log_std[:, :1], dynamics.initial_noise)
    loss += divergence(offset[:, 1:], log_std[:, 1:], dynamics.noise)
    loss -= log_likelihood(params.emissions, trials.values, states)
    loss /= trials.values.size
    bins, ahead, total = model.settings.overshooting, states, 0.0
    for number in range(1, bins + 1):
        ahead, values = move(dynamics, ahead[:, :-1], trials.inputs[:, number:]), trials.values[:, number:]
        total -= log_likelihood(params.emissions, values, ahead) / values.size
    return loss + total / max(bins, 1)


def ours(model, params, trials, key):
    """The loss as it is trained on."""
    return jnp.sum(jnp.stack(list(model.loss(params, trials, key=key).values())))


def difference(size: Size, dtype: str, tolerance: float) -> float:
    """Largest difference of loss and gradients of both ways of writing, relative to the largest entry."""
    with jax.enable_x64(dtype == "float64"):
        model = size.model
        params, trials = jax.tree.map(
            lambda a: jnp.asarray(np.asarray(a), dtype) if eqx.is_inexact_array_like(a) else a,
            (model.initialize(KEY)[0], size.draw(4, 20)),
        )
        found = []
        for loss in (ours, plain_loss):
            # Trials as an argument: with constants much would be computed while it compiles.
            both = eqx.filter_value_and_grad(lambda p, trials, loss=loss: loss(model, p, trials, KEY))
            found.append(jax.tree.leaves(eqx.filter_jit(both)(params, trials)))
    worst = 0.0
    for one, other in zip(*found, strict=True):
        if np.asarray(other).any():
            worst = max(worst, float(np.abs(one - other).max() / np.abs(other).max()))
    if not worst <= tolerance:
        raise RuntimeError(f"the two ways differ by {worst:.2g} in {dtype}, more than {tolerance:g}")
    return worst


def training(size: Size, loss: Callable, keys: jax.Array, *, batch: bool = True) -> Callable[[], float]:
    """A function that runs compiled steps and gives the seconds of one; several keys are as many seeds."""
    model = size.model
    make = (
        jax.vmap(lambda key: model.initialize(key)[0]) if keys.shape else lambda key: model.initialize(key)[0]
    )
    arrays, static = eqx.partition(eqx.filter_jit(make)(keys), eqx.is_array)
    optimizer = STAGE.optimizer(size.steps)
    batches = Shuffled(size.steps * size.trials, size.trials)

    def terms(params, trials, *, key, step):
        del step
        return {"loss": loss(model, params, trials, key)}

    epoch = Epoch(terms, None, batches, optimizer, static)
    call = compiled(epoch, seeds=keys.shape, batch=batch)
    trials = jax.device_put(size.draw(batches.n_trials, size.bins))
    state = start(arrays, jax.tree.map(lambda _: True, arrays), optimizer, seeds=keys.shape)

    def run() -> float:
        nonlocal state
        begin = time.perf_counter()
        state, figures = call(state, trials, None, keys)
        jax.block_until_ready(figures)
        return (time.perf_counter() - begin) / size.steps

    return run


def op_by_op(size: Size) -> Callable[[], float]:
    """One step without compilation: loss, gradient, clipping, Adam."""
    model = size.model
    params, rest = eqx.partition(model.initialize(KEY)[0], eqx.is_array)
    optimizer = STAGE.optimizer(size.steps)
    state, trials = optimizer.init(params), jax.device_put(size.draw(size.trials, size.bins))

    def run() -> float:
        nonlocal params, state
        begin = time.perf_counter()
        with jax.disable_jit():
            gradient = jax.grad(lambda p: plain_loss(model, eqx.combine(p, rest), trials, KEY))(params)
            updates, state = optimizer.update(gradient, state, params)
            params = optax.apply_updates(params, updates)
        jax.block_until_ready(params)
        return time.perf_counter() - begin

    return run


def medians(sides: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Median seconds of a step of each side, run in turn, once unmeasured."""
    taken = [{name: side() for name, side in sides.items()} for _ in range(repeats + 1)][1:]
    return {name: statistics.median(times[name] for times in taken) for name in sides}


def measured(name: str, size: Size, *, repeats: int, **more: Callable[[], float]) -> dict:
    """One size against the same equations op by op; and compiled, and 8 seeds, in units of one step of ours.

    Args:
        name: Of the benchmark.
        size: The model and its trials.
        repeats: How often each side is timed.
        more: Further sides to time in units of one step.
    """
    double, single = difference(size, "float64", 1e-9), difference(size, "float32", 1e-4)
    one, keys = training(size, ours, KEY), jax.random.split(KEY, SEEDS)
    result = compare(name, one, op_by_op(size), repeats=2)
    sides = {
        "one": one,
        "plain_scan": training(size, plain_loss, KEY),
        "seeds_in_single_steps": training(size, ours, keys, batch=False),
        "seeds_in_single_steps_batched": training(size, ours, keys),
    }
    times = medians(sides | more, repeats)
    in_steps = {side: seconds / times["one"] for side, seconds in times.items() if side != "one"}
    return (
        result
        | in_steps
        | {
            "plain_scan_s": times["plain_scan"],
            "seeds": SEEDS,
            "trials": size.trials,
            "threads": THREADS,
            "difference_float64": double,
            "difference_float32": single,
        }
    )


if __name__ == "__main__":
    print(json.dumps(measured("mrsds_step", LARGE, repeats=2)))
