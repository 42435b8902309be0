"""Poisson's loss of a whole batch and its gradient in one pass over memory, on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ctd_contract.torch.sequences.blocks import run_jobs

# Numbers of a piece: a few arrays of it stay in a core's own cache.
_PIECE = 1 << 17


def poisson_total(prediction: Tensor, data: Tensor, weight: Tensor | None, linear_above: float) -> Tensor:
    """Weighted sum of λ - y log λ, where λ = e^x goes on in a straight line above e^c.

    Args:
        prediction: x, (trial, time, neuron).
        data: y, of the same shape; takes no gradient.
        weight: Broadcastable to it, or None; takes no gradient.
        linear_above: c.

    Returns:
        Scalar, with a gradient for ``prediction``. `Poisson.nll` is what it is tested against.
    """
    weight = None if weight is None else weight.expand_as(prediction)
    return _Total.apply(prediction, data, weight, linear_above)  # type: ignore[no-any-return]


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, data: Tensor, weight: Tensor | None, linear_above: float) -> Tensor:
        """The sum; the gradient is kept."""
        gradient = torch.empty(x.shape, dtype=x.dtype)
        if not x.numel():
            ctx.save_for_backward(gradient)
            return x.new_zeros(())
        rows = max(1, _PIECE // x[0].numel())
        pieces = [slice(start, start + rows) for start in range(0, len(x), rows)]

        def work(mine: list[slice]) -> list[Tensor]:
            return [
                _piece(x[p], data[p], None if weight is None else weight[p], gradient[p], linear_above)
                for p in mine
            ]

        threads = torch.get_num_threads()
        shares = [pieces[index::threads] for index in range(threads)]
        found = run_jobs(work, [share for share in shares if share], x.device)
        ctx.save_for_backward(gradient)
        # One after the other in one order, whichever thread was first.
        inorder = [found[index % len(found)][index // len(found)] for index in range(len(pieces))]
        return torch.stack(inorder).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """The kept gradient, scaled."""
        (gradient,) = ctx.saved_tensors
        return gradient * grad, None, None, None


def _piece(x: Tensor, y: Tensor, weight: Tensor | None, gradient: Tensor, linear_above: float) -> Tensor:
    """Write the gradient of a few trials; returns their sum."""
    if float(x.max()) > linear_above:
        return _bent(x, y, weight, gradient, linear_above)
    torch.exp(x, out=gradient)
    cost = torch.sub(gradient, y * x)
    gradient.sub_(y)
    if weight is None:
        return cost.sum()
    gradient.mul_(weight)
    return cost.mul_(weight).sum()


def _bent(x: Tensor, y: Tensor, weight: Tensor | None, gradient: Tensor, linear_above: float) -> Tensor:
    """As `_piece`, where the straight line begins."""
    bent = x.clamp_max(linear_above)
    rate, growth = bent.exp(), 1.0 + (x - bent)
    cost = rate * growth - y * (bent + growth.log())
    torch.sub(rate, y / growth, out=gradient)
    if weight is None:
        return cost.sum()
    gradient.mul_(weight)
    return cost.mul_(weight).sum()
