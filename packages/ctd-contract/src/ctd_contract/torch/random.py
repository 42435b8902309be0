"""Random streams that depend on their keys alone: a resumed run draws what the uninterrupted one did."""

import hashlib
import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from ctd_contract.torch.sequences.blocks import run_jobs

# Chances are multiples of 2^-16: a 64-bit number then decides four times.
_CHANCES = 1 << 16
# Entries of a mask that come from one seed.
_PIECE = 1 << 18
# Numbers that a mask may be written in at once; half ones are neither NumPy's nor numba's.
_WRITTEN = (torch.float32, torch.float64)


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
    shape: Sequence[int],
    probability: float,
    stream: torch.Generator,
    device: torch.device | str = "cpu",
    *,
    dtype: torch.dtype = torch.bool,
    value: float = 1.0,
) -> Tensor:
    """Draw what is true with a probability; on a CPU that takes torch many times as long.

    Args:
        shape: Of the result.
        probability: Taken as ``chance(probability)``; divide by that for an unbiased mask.
        stream: Generator on ``device``.
        device: Where the numbers are drawn.
        dtype: Of the result.
        value: What stands for true in numbers.

    Returns:
        Tensor of True and False, or of ``value`` and 0.
    """
    if has_torch_function((stream,)):  # a mode is on, say one that draws for each of several models at once
        return handle_torch_function(
            bernoulli, (stream,), shape, probability, stream, device, dtype=dtype, value=value
        )
    count, below = math.prod(shape), round(chance(probability) * _CHANCES) - _CHANCES // 2
    if below == _CHANCES // 2:
        return torch.full(tuple(shape), value, dtype=dtype, device=device)
    if torch.device(device).type != "cpu":
        # Without bounds torch leaves out the negative ones.
        numbers = torch.empty(-(-count // 4), dtype=torch.int64, device=device)
        drawn = numbers.random_(-(2**63), None, generator=stream).view(torch.int16)[:count] < below
    else:
        drawn = _drawn_in_pieces(count, below, stream, dtype if dtype in _WRITTEN else torch.bool, value)
    return (drawn if drawn.dtype == dtype else drawn.to(dtype).mul_(value)).view(tuple(shape))


def _drawn_in_pieces(
    count: int, below: int, stream: torch.Generator, dtype: torch.dtype, value: float
) -> Tensor:
    """Draw pieces side by side, each from a seed of its own, so that all is the same with any threads."""
    out = torch.empty(count, dtype=dtype)
    starts = range(0, count, _PIECE)
    seeds = torch.empty(len(starts), dtype=torch.int64).random_(generator=stream).tolist()

    def draw(start: int) -> None:
        piece = out[start : start + _PIECE].numpy()
        # torch's own generator on a CPU takes several times as long.
        raw = np.random.SFC64(seeds[start // _PIECE]).random_raw(-(-len(piece) // 4))
        numbers = raw.view(np.int16)[: len(piece)]
        if dtype == torch.bool:
            np.less(numbers, below, out=piece)
        else:
            _choose()(numbers, below, value, piece)

    run_jobs(draw, starts, out.device)
    return out


@cache
def _choose() -> Callable[..., None]:
    """The compiled loop, which takes a moment to import."""
    from ctd_contract.torch.compiled.masks import choose

    return choose
