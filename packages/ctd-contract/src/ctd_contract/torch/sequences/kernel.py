"""What a kind of dynamics gives to ``scan``: the arithmetic of a few bins of a block of trials."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from torch import Tensor


def tanh_(values: Tensor) -> Tensor:
    """Replace values by their tanh; on a CPU by way of the sigmoid, which takes torch a fifth of the time."""
    if values.device.type != "cpu":
        return values.tanh_()
    return values.mul_(2.0).sigmoid_().mul_(2.0).sub_(1.0)


def steps_back(
    bins: int, grad: Tensor, arriving: Sequence[Tensor] | None, noise_grads: Sequence[Tensor] | None
) -> Iterator[int]:
    """Yield the steps of a chunk, last first, each once ``grad`` is all of its new state's gradient.

    That is also the gradient of noise on the new state. Arguments are those of ``Kernel.backward``.
    """
    for step in range(bins - 1, -1, -1):
        if arriving is not None:
            grad.add_(arriving[step])
        if noise_grads is not None:
            noise_grads[step].copy_(grad)
        yield step


class Kernel(ABC):
    """Arithmetic of one kind of dynamics, made once per call from its parameters.

    All arrays are time-major, so that every bin's matrix is one piece of memory, and hold one chunk: several
    bins of one block of trials. "Driven" are the inputs with a column of ones behind them.

    Attributes:
        gates: Numbers per bin and trial that are kept for the backward pass.
        deltas: Numbers per bin and trial that the gradients of the weights are made of.
    """

    gates: int
    deltas: int

    @abstractmethod
    def drive(self, gates: Tensor, driven: Tensor) -> None:
        """Set the part of ``gates`` (bins trials, gates) that ``driven`` (bins trials, input + 1) gives."""

    def hold(self, gates: Tensor, invalid: Tensor) -> None:
        """Make driven ``gates`` (bins, trials, gates) keep the state where ``invalid`` (bins, trials, 1)."""
        raise NotImplementedError(f"{type(self).__name__} takes no padding")

    @abstractmethod
    def forward(self, gates: Tensor, states: Tensor, noise: Sequence[Tensor] | None, first: bool) -> None:
        """Advance through a chunk.

        Args:
            gates: (bins, trials, gates), driven; in place, becomes what ``backward`` needs.
            states: (bins + 1, trials, state), the first given, the others to be written.
            noise: Per bin (trials, state).
            first: Whether the sequence starts with this chunk.
        """

    @abstractmethod
    def backward(
        self,
        gates: Tensor,
        states: Tensor,
        deltas: Tensor,
        grad: Tensor,
        arriving: Sequence[Tensor] | None,
        noise_grads: Sequence[Tensor] | None,
        first: bool,
    ) -> None:
        """Go back through a chunk.

        Args:
            gates: (bins, trials, gates) as ``forward`` left them; not to be changed.
            states: (bins + 1, trials, state) as ``forward`` left them; not to be changed.
            deltas: (bins, trials, deltas), to be written.
            grad: (trials, state), of the last state; in place, becomes that of the first one.
            arriving: Per bin the gradient (trials, state) that comes from outside.
            noise_grads: Per bin where the gradient of the noise (trials, state) is to be written.
            first: Whether the sequence starts with this chunk.
        """

    @abstractmethod
    def sums(self) -> list[Tensor]:
        """Zeros that ``collect`` adds to."""

    @abstractmethod
    def collect(
        self, sums: Sequence[Tensor], deltas: Tensor, gates: Tensor, states: Tensor, driven: Tensor
    ) -> None:
        """Add a chunk's part of the gradients of the weights; arrays are (bins trials, ...)."""

    @abstractmethod
    def input_grad(self, deltas: Tensor) -> Tensor:
        """Gradient of the inputs (bins trials, input) from ``deltas`` (bins trials, deltas)."""

    @abstractmethod
    def parameter_grads(self, sums: Sequence[Tensor]) -> list[Tensor | None]:
        """Gradients of the parameters, in the order in which the kernel took them, from the whole sums."""
