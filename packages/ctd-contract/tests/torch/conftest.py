from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import Tensor

from ctd_contract.torch.random import generator
from ctd_contract.torch.sequences.compiled_block import CompiledBlock

Make = Callable[..., Tensor]


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request) -> torch.device:
    return torch.device(request.param)


@pytest.fixture
def make(device) -> Make:
    """Random float64 tensors that take gradients."""
    stream = generator(0, "tests")

    def draw(*shape: int, scale: float = 1.0) -> Tensor:
        values = scale * torch.randn(*shape, generator=stream, dtype=torch.float64)
        return values.to(device).requires_grad_()

    return draw


@pytest.fixture(params=["compiled", "operations"])
def loops(request, monkeypatch) -> None:
    """Compiled loops, and those of torch's operations that a GPU runs in their place."""
    if request.param == "operations":
        monkeypatch.setattr(CompiledBlock, "takes", lambda *_: False)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def assert_twins() -> Callable[[Callable[[str], Sequence[Tensor]], Sequence[Tensor | None]], None]:
    """Check that both backends give the same values and the same gradients of a weighted sum, to 1e-9."""

    def check(run: Callable[[str], Sequence[Tensor]], tensors: Sequence[Tensor | None]) -> None:
        wanted = [tensor for tensor in tensors if tensor is not None]
        found = {}
        for backend in ("plain", "fast"):
            values = run(backend)
            weighted = sum((value * ramp(value)).sum() for value in values)
            found[backend] = [*values, *torch.autograd.grad(weighted, wanted)]
        for fast, plain in zip(found["fast"], found["plain"], strict=True):
            assert (fast - plain).abs().max() <= 1e-9 * plain.abs().max()

    return check


def ramp(value: Tensor) -> Tensor:
    """Weights that differ for every entry."""
    return torch.linspace(-1.0, 1.5, value.numel(), dtype=value.dtype, device=value.device).view_as(value)
