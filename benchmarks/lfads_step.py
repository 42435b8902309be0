"""LFADS's training step both ways: ours against a loop over bins.

The plain side is eager PyTorch as one writes it: a call per bin, unit and direction (torch has no gated
recurrent unit whose reset gate multiplies the state), dropout where it is needed, torch's losses and
distributions. Both sides draw their random numbers, find loss and gradients, clip them and take a step of
AdamW. To compare results they get the same random numbers.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from timing import agree, compare
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from ctd_contract.torch.random import bernoulli, chance, generator
from ctd_models_torch.batch import Batch
from ctd_models_torch.build import build_model
from ctd_models_torch.config import LinearReadoutConfig
from ctd_models_torch.lfads.config import ControllerConfig, InitialEncoderConfig, LFADSConfig
from ctd_models_torch.lfads.model import LFADS, VARIANCE_FLOOR
from ctd_models_torch.shape import Shape

CLIP, DROPOUT, COORDINATED = 5.0, 0.3, 0.3
THREADS, EPOCH = 2, 1000


@dataclass(frozen=True)
class Size:
    """Bins and neurons that are seen and that are predicted, and units of every part."""

    bins: tuple[int, int]
    neurons: tuple[int, int]
    initial_encoder: int
    control_encoder: int
    controller: int
    initial: int
    generator: int
    factors: int
    controls: int = 4
    trials: int = 256

    def longer(self, times: int) -> Size:
        """The same with so many times the bins."""
        return replace(self, bins=tuple(times * bins for bins in self.bins))

    def model(self) -> LFADS:
        config = LFADSConfig(
            size=self.generator,
            factors=self.factors,
            initial_condition=self.initial,
            encoder=InitialEncoderConfig(self.initial_encoder, standardize=False),
            controller=ControllerConfig(self.controller, self.controls, self.control_encoder),
            dropout=DROPOUT,
            coordinated_dropout=COORDINATED,
        )
        (seen_bins, bins), (seen, neurons) = self.bins, self.neurons
        held_out = [index >= seen for index in range(neurons)]
        shape = Shape(
            "spikes", list(range(neurons)), held_out, list(range(seen_bins)), None, 0, 0.02, bins=bins
        )
        built = build_model(config, LinearReadoutConfig(), shape, None, seed=0)
        assert isinstance(built, LFADS)
        # The readout starts at the log of the mean counts, as it does with a recording.
        nn.init.constant_(built.session.readout.bias, -1.6)
        return built

    def batch(self, dtype: torch.dtype) -> Batch:
        shape = (self.trials, self.bins[1], self.neurons[1])
        spikes = torch.poisson(torch.full(shape, 0.2), generator=generator(0, "spikes")).to(dtype)
        rows = torch.arange(self.trials)
        lengths, scored = torch.full_like(rows, self.bins[1]), torch.ones((*shape[:2], 1), dtype=torch.bool)
        return Batch(spikes, scored, None, lengths, rows, padded=False, complete=True)


class Drawn:
    """What torch draws where it is needed."""

    def __init__(self, size: Size) -> None:
        del size

    def hidden(self, seen: Tensor) -> tuple[Tensor, float]:
        return (torch.rand_like(seen) < COORDINATED).to(seen.dtype), COORDINATED

    def drop(self, values: Tensor, what: str, index: int = 0) -> Tensor:
        del what, index
        return functional.dropout(values, DROPOUT)

    def normal(self, like: Tensor, what: str, index: int = 0) -> Tensor:
        del what, index
        return torch.randn_like(like)


class Recorded(Drawn):
    """The numbers that our side draws, in the order in which it draws them."""

    def __init__(self, size: Size) -> None:
        (seen_bins, bins), (seen, _), trials = size.bins, size.neurons, size.trials
        stream, keep = draw("dropout"), 1.0 - DROPOUT
        columns = 2 * size.control_encoder + size.factors
        shapes = {
            "read": (trials, seen_bins, seen),
            "summary": (trials, 2 * size.initial_encoder),
            "state": (trials, bins + 1, size.generator),
            "controller": (trials, bins, columns),
        }
        self.masks = {name: bernoulli(shape, keep, stream) for name, shape in shapes.items()}
        self.shape = (trials, bins, size.controls)

    def hidden(self, seen: Tensor) -> tuple[Tensor, float]:
        stream = draw("coordinated dropout")
        return bernoulli(seen.shape, COORDINATED, stream, dtype=seen.dtype), chance(COORDINATED)

    def drop(self, values: Tensor, what: str, index: int | None = None) -> Tensor:
        mask = self.masks[what] if index is None else self.masks[what][:, index]
        return values * mask / chance(1.0 - DROPOUT)

    def normal(self, like: Tensor, what: str, index: int | None = None) -> Tensor:
        shape = like.shape if index is None else self.shape
        drawn = torch.randn(shape, generator=draw(what), dtype=like.dtype)
        return drawn if index is None else drawn[:, index]


def draw(name: str) -> torch.Generator:
    """The stream of a name."""
    return generator(0, name)


def cell(weights: tuple, inputs: Tensor, state: Tensor) -> Tensor:
    """One bin of a gated recurrent unit."""
    weight_input, weight_state, bias, _ = weights
    units = state.shape[1]
    from_r, from_z, from_n = functional.linear(inputs, weight_input, bias).chunk(3, dim=1)
    to_r, to_z = functional.linear(state, weight_state[: 2 * units]).chunk(2, dim=1)
    r, z = torch.sigmoid(from_r + to_r), torch.sigmoid(from_z + to_z)
    n = torch.tanh(from_n + functional.linear(r * state, weight_state[2 * units :]))
    return torch.clamp(z * state + (1.0 - z) * n, -CLIP, CLIP)


def read(encoder: nn.Module, values: Tensor) -> tuple[Tensor, Tensor]:
    """States of both directions after each bin."""
    both, bins = [], range(values.shape[1])
    directions = ((encoder.forwards, bins), (encoder.backwards, bins[::-1]))
    for initial, (unit, order) in zip(encoder.initial, directions, strict=True):
        state, states = initial.expand(len(values), -1), {}
        for k in order:
            states[k] = state = cell(unit.parts, values[:, k], state)
        both.append(torch.stack([states[k] for k in bins], dim=1))
    return both[0], both[1]


def decode(model: LFADS, state: Tensor, encoded: Tensor, drawn: Drawn) -> list[Tensor]:
    """Factors, means, standard deviations and inferred inputs of all bins."""
    decoder, controller = model.decoder, model.decoder.controller
    head, weight = controller.head.bounded(), decoder.factor_weight
    control_state, rows = controller.initial.expand(len(state), -1), []
    factors = functional.linear(drawn.drop(state, "state", 0), weight)
    for k in range(encoded.shape[1]):
        inputs = drawn.drop(torch.cat([encoded[:, k], factors], dim=1), "controller", k)
        control_state = cell(controller.unit.weights, inputs, control_state)
        mean, log_variance = functional.linear(control_state, *head).chunk(2, dim=1)
        std = torch.exp(0.5 * log_variance)
        control = mean + std * drawn.normal(mean, "inferred inputs", k)
        state = cell(decoder.generator.unit.weights, control, state)
        factors = functional.linear(drawn.drop(state, "state", k + 1), weight)
        rows.append((factors, mean, std, control))
    return [torch.stack(column, dim=1) for column in zip(*rows, strict=True)]


def plain_loss(model: LFADS, batch: Batch, drawn: Drawn) -> Tensor:
    """The loss, one bin after the other."""
    seen_bins, bins = len(model.session.view.bins), batch.n_time
    seen = batch.data[:, :seen_bins, : len(model.session.view.neurons)]
    hidden, rate = drawn.hidden(seen)
    values = drawn.drop(seen * (1.0 - hidden) / (1.0 - rate), "read", None)
    # What was shown is not scored, what was hidden all the more, and what is never seen as it is.
    missing = (0, batch.data.shape[2] - hidden.shape[2], 0, bins - seen_bins)
    weight = functional.pad(hidden / rate, missing, value=1.0)

    ahead, back = read(model.encoder, values)
    summary = drawn.drop(torch.cat([ahead[:, -1], back[:, 0]], dim=1), "summary", None)
    mean, log_variance = functional.linear(summary, *model.head.bounded()).chunk(2, dim=1)
    std = (log_variance.exp() + VARIANCE_FLOOR).sqrt()
    code = mean + std * drawn.normal(mean, "initial condition", None)
    state = functional.linear(code, model.initial_weight, model.initial_bias)
    initial = model.initial_prior
    prior = Normal(initial.mean, initial.variance**0.5, validate_args=False)
    divergence = kl_divergence(Normal(mean, std, validate_args=False), prior).sum()

    ahead, back = read(model.control_encoder, values)
    # One bin late and one early, and zeros where nothing was seen.
    rest = bins - seen_bins
    lagged = [functional.pad(ahead, (0, 0, 1, rest - 1)), functional.pad(back[:, 1:], (0, 0, 0, rest + 1))]
    factors, mean, std, controls = decode(model, state, torch.cat(lagged, dim=2), drawn)
    prior = model.control_prior
    alpha, variance = torch.exp(-torch.exp(-prior.log_time_constant)), prior.log_variance.exp()
    before = functional.pad(alpha * controls[:, :-1], (0, 0, 1, 0))
    stationary = variance / (1.0 - alpha**2)
    of_prior = torch.cat([stationary.expand(1, -1), variance.expand(bins - 1, -1)]).sqrt()
    posterior = Normal(mean, std, validate_args=False)
    divergence = divergence + kl_divergence(posterior, Normal(before, of_prior, validate_args=False)).sum()

    each = functional.poisson_nll_loss(model.session.readout(factors), batch.data, reduction="none")
    return ((each * weight).sum() + divergence) / batch.data.numel()


def fast_loss(model: LFADS, batch: Batch) -> Tensor:
    """The loss as it is trained on."""
    terms = model.losses(batch, draw, n_time=batch.n_time, epoch=EPOCH)
    return torch.stack(list(terms.values())).sum()


class Side:
    """One way to take steps, with a model of its own."""

    def __init__(self, name: str, size: Size) -> None:
        self.name, self.model = name, copy.deepcopy(size.model())
        options = {"fused": True} if name == "fast" else {}
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-4, **options)
        self.batch, self.drawn = size.batch(torch.float32), Drawn(size)

    def step(self) -> None:
        """One step of training."""
        self.optimizer.zero_grad()
        fast = self.name == "fast"
        loss = fast_loss(self.model, self.batch) if fast else plain_loss(self.model, self.batch, self.drawn)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 0.1)
        self.optimizer.step()


def difference(size: Size, dtype: torch.dtype, tolerance: float) -> float:
    """Largest relative difference of loss and gradients, given the same random numbers."""
    model, batch = size.model().to(dtype), size.batch(dtype)
    found = []
    for loss in (fast_loss, partial(plain_loss, drawn=Recorded(size))):
        model.zero_grad()
        value = loss(model, batch)
        value.backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        found.append({"loss": value.detach(), **gradients})
    return agree(*found, tolerance)


class Remote:
    """A side in a process of its own, as its user starts it: our packages calm torch's idle threads, which is
    to the disadvantage of a loop of many small operations.
    """

    def __init__(self, name: str, size: Size) -> None:
        first = "ctd_models_torch" if name == "fast" else "torch"
        code = f"import {first}, lfads_step; lfads_step.answer({name!r}, lfads_step.{size})"
        environment = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=Path(__file__).resolve().parent, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip

    def step(self) -> float:
        """Take a step; returns its seconds."""
        return float(self._ask("step"))

    def peak_mb(self) -> float:
        """Memory beyond that of the model and its data so far; ends the process."""
        found = float(self._ask("memory"))
        self.process.communicate()
        return found

    def _ask(self, what: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(what, file=self.process.stdin)
        return self.process.stdout.readline()


def peak_kb() -> int:
    """Most memory that this process ever held; what getrusage tells begins with that of its parent."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def answer(name: str, size: Size) -> None:
    """Be the process of a `Remote`."""
    torch.set_num_threads(THREADS)
    side = Side(name, size)
    before = peak_kb()
    for what in sys.stdin:
        if what.strip() == "memory":
            print((peak_kb() - before) / 1024, flush=True)
            return
        start = time.perf_counter()
        side.step()
        seconds = time.perf_counter() - start
        time.sleep(0.05)  # until its idle threads are at rest
        print(seconds, flush=True)


def memory_mb(name: str, size: Size) -> float:
    """Of three steps."""
    side = Remote(name, size)
    for _ in range(3):
        side.step()
    return side.peak_mb()


def measure_step(name: str, size: Size, *, repeats: int) -> dict:
    """Compare both sides in both precisions, then time them in turn; medians in seconds."""
    torch.set_num_threads(THREADS)
    double = difference(replace(size, trials=40), torch.float64, 1e-9)
    single = difference(replace(size, trials=40), torch.float32, 1e-4)
    fast, plain = (Remote(side, size) for side in ("fast", "plain"))
    result = compare(name, fast.step, plain.step, repeats=repeats)
    memory = {"fast_mb": fast.peak_mb(), "plain_mb": plain.peak_mb()}
    memory["fast_mb_twice_the_bins"] = memory_mb("fast", size.longer(2))
    return result | {"threads": THREADS, "difference_float64": double, "difference_float32": single} | memory
