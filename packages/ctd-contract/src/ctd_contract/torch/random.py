"""Random streams that depend on their keys alone: a resumed run draws what the uninterrupted one did."""

import hashlib

import torch


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
