"""Buffers that outlive a training step, so that the next one writes to memory that is already mapped.

A sequence of usual size keeps a few hundred MB between its forward and its backward pass. Memory fresh from
the operating system costs a page fault per 4 KiB, together more than the arithmetic on it.
"""

import threading

import torch
from torch import Tensor

_free: list[Tensor] = []
_lock = threading.Lock()


class _Bytes:
    """How much is in use, and the most that ever was: no more than that is kept for the next step."""

    used = 0
    peak = 0


class Workspace:
    """A flat buffer that tensors are cut from; it goes back to the pool with its last reader."""

    def __init__(self, numbers: int, like: Tensor) -> None:
        """Take a buffer of so many numbers with the dtype and device of ``like``."""
        self.buffer = _take(numbers, like)
        self.used = 0

    def cut(self, *shape: int) -> Tensor:
        """Cut an uninitialised tensor from what is left."""
        numbers = 1
        for size in shape:
            numbers *= size
        start, self.used = self.used, self.used + numbers
        return self.buffer[start : self.used].view(shape)

    def __del__(self) -> None:
        buffer = getattr(self, "buffer", None)
        # A GPU's allocator keeps its memory mapped by itself.
        if buffer is None or buffer.device.type != "cpu":
            return
        with _lock:
            _Bytes.used -= buffer.nbytes
            _free.append(buffer)
            while sum(one.nbytes for one in _free) > _Bytes.peak:
                del _free[0]


def _take(numbers: int, like: Tensor) -> Tensor:
    """Find the smallest free buffer that is large enough but no giant, or allocate one."""
    with _lock:
        fitting = [
            (buffer.numel(), index)
            for index, buffer in enumerate(_free)
            if buffer.dtype == like.dtype
            and buffer.device == like.device
            and numbers <= buffer.numel() <= 2 * numbers
        ]
        buffer = _free.pop(min(fitting)[1]) if fitting else None
    if buffer is None:
        buffer = torch.empty(numbers, dtype=like.dtype, device=like.device)
    with _lock:
        _Bytes.used += buffer.nbytes
        _Bytes.peak = max(_Bytes.peak, _Bytes.used)
    return buffer
