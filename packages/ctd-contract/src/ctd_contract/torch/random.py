"""Random streams that depend on their keys alone: a resumed run draws what the uninterrupted one did."""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

# Chances are multiples of 2^-16: a 64-bit number then decides four times.
_CHANCES = 1 << 16


def generator(seed: int, *keys: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Make the generator of one named stream.

    Two streams with different seeds or keys are independent for all practical purposes; the same ones give
    the same numbers in every process, whatever was drawn elsewhere.

    Args:
        seed: Seed of the run.
        *keys: What the stream is for, say ``"noise", epoch, step``.
        device: Where the numbers are drawn. Devices of different types give different numbers.

    Returns:
        A fresh generator on ``device``.
    """
    for key in (seed, *keys):
        if isinstance(key, bool) or not isinstance(key, int | str):
            raise TypeError(f"keys of a random stream are integers and strings, got {key!r}")
    digest = hashlib.sha256(repr((seed, *keys)).encode()).digest()
    # The top bit stays clear: a seed is a signed 64-bit number in some backends.
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def chance(probability: float) -> float:
    """The multiple of 2^-16 nearest to a probability, with which `bernoulli` draws; 0 and 1 stay apart."""
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"a probability is in [0, 1], got {probability}")
    if probability in (0.0, 1.0):
        return probability
    return min(max(round(probability * _CHANCES), 1), _CHANCES - 1) / _CHANCES


def bernoulli(
    shape: Sequence[int], probability: float, stream: torch.Generator, device: torch.device | str = "cpu"
) -> Tensor:
    """Draw what is true with a probability; on a CPU that takes torch several times as long.

    Args:
        shape: Of the result.
        probability: Taken as ``chance(probability)``; divide by that for an unbiased mask.
        stream: Generator on ``device``.
        device: Where the numbers are drawn.

    Returns:
        bool tensor.
    """
    if has_torch_function((stream,)):  # a mode is on, say one that draws for each of several models at once
        return handle_torch_function(bernoulli, (stream,), shape, probability, stream, device)
    count, threshold = math.prod(shape), round(chance(probability) * _CHANCES)
    if threshold == _CHANCES:
        return torch.ones(tuple(shape), dtype=torch.bool, device=device)
    numbers = _uniform(-(-count // 4), stream, torch.device(device)).view(torch.int16)[:count]
    return (numbers < threshold - _CHANCES // 2).view(tuple(shape))


def _uniform(count: int, stream: torch.Generator, device: torch.device) -> Tensor:
    """64-bit numbers, from all of them alike."""
    # Without bounds torch leaves out the negative ones.
    if device.type != "cpu":
        return torch.empty(count, dtype=torch.int64, device=device).random_(-(2**63), None, generator=stream)
    # torch's own generator on a CPU takes several times as long as what it starts here.
    seed = int(torch.empty((), dtype=torch.int64).random_(generator=stream))
    return torch.from_numpy(np.random.SFC64(seed).random_raw(count).view(np.int64))
