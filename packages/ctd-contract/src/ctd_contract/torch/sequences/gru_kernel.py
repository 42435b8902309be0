"""Gated recurrent units as kernels of ``scan``."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from ctd_contract.torch.sequences.kernel import Kernel, steps_back


class GRUKernel(Kernel):
    """What both places of the reset gate share.

    A bin keeps four parts: one of the subclass, then r, z and n. So what multiplies the state and what
    multiplies the inputs are both neighbours.
    """

    def __init__(
        self,
        weight_input: Tensor | None,
        weight_state: Tensor,
        bias_input: Tensor | None,
        bias_state: Tensor | None,
        *,
        clip: float | None,
        noisy: bool,
        padded: bool,
    ) -> None:
        self.size = weight_state.shape[1]
        self.gates = self.deltas = 4 * self.size
        self.clip = clip
        self.padded = padded
        # z h + (1-z) n lies between h and n, and |n| < 1: without noise nothing leaves ±clip after the
        # first bin.
        self.always_clips = clip is not None and (noisy or padded or clip < 1.0)
        self.has_biases = bias_input is not None, bias_state is not None
        self.has_inputs = weight_input is not None
        # n is 2 sigmoid(2 a) - 1 with a its pre-activation: torch's tanh takes a CPU five times as long. All
        # that makes up a is doubled here, once, and the gradients of the parameters in the end.
        self.scale = weight_state.new_ones(3 * self.size)
        self.scale[2 * self.size :] = 2.0
        zeros = weight_state.new_zeros(3 * self.size)
        self.bias_input = zeros if bias_input is None else self.scale * bias_input
        self.bias_state = zeros if bias_state is None else self.scale * bias_state
        inputs = zeros[:, None][:, :0] if weight_input is None else weight_input
        self.weight_state, self.weight_input = (self.scale[:, None] * w for w in (weight_state, inputs))
        self.minus_one = weight_state.new_tensor(-1.0)
        self.half = weight_state.new_tensor(0.5)
        driven = torch.cat([self.weight_input, self.driven_bias()[:, None]], dim=1)
        self.weight_driven = driven.t().contiguous()

    @abstractmethod
    def driven_bias(self) -> Tensor:
        """The biases (3 state,) of r, z and n that stand outside of any product with r."""

    def parts(self, gates: Tensor) -> tuple[Tensor, ...]:
        """The four parts of (..., 4 state)."""
        return gates.split(self.size, dim=-1)

    def hold(self, gates: Tensor, invalid: Tensor) -> None:
        """Open z for good: then h' is h, exactly."""
        self.parts(gates)[2].masked_fill_(invalid, torch.inf)

    def clips(self, step: int, first: bool) -> bool:
        """Tell whether the new state of a chunk's step may have to be clamped."""
        return self.clip is not None and (self.always_clips or (first and step == 0))

    def clamp(self, new: Tensor, state: Tensor, z: Tensor) -> None:
        """Clamp new states, but not what is held in the padding."""
        held = state[z == 1.0] if self.padded else None
        new.clamp_(-self.clip, self.clip)  # type: ignore[operator]
        if held is not None:
            new[z == 1.0] = held

    def coefficients(self, gates: Tensor, states: Tensor, deltas: Tensor, first: bool) -> Tensor:
        """Write dh'/d(pre-activations of z and, doubled, n) into ``deltas``; returns dh'/dh along z."""
        _, _, z, n = self.parts(gates)
        _, _, to_z, to_n = self.parts(deltas)
        torch.sub(states[:-1], n, out=to_z).mul_(z)
        torch.addcmul(self.half, n, n, value=-0.5, out=to_n)
        closed = 1.0 - z
        to_z.mul_(closed)
        to_n.mul_(closed)
        if not self.clips(0, first):
            return z
        inside = torch.lerp(n, states[:-1], z).abs_().le_(self.clip)  # type: ignore[arg-type]
        if self.padded:
            inside.masked_fill_(z == 1.0, 1.0)
        if not self.always_clips:
            inside[1:] = 1.0
        to_z.mul_(inside)
        to_n.mul_(inside)
        return z * inside

    def input_grad(self, deltas: Tensor) -> Tensor:
        """Through r, z and n."""
        return deltas[:, self.size :] @ self.weight_input

    def input_weight_grad(self, driven: Tensor) -> Tensor | None:
        """Gradient of weight_input from its transposed sum with the biases' row."""
        return self.scale[:, None] * driven[:-1].t() if self.has_inputs else None

    def biases(self, driven: Tensor, extra: Tensor) -> list[Tensor | None]:
        """Gradients of bias_input and bias_state."""
        pairs = zip((driven, extra), self.has_biases, strict=True)
        return [self.scale * grad if has else None for grad, has in pairs]


class GRUAfter(GRUKernel):
    """r multiplies U_n h + b_hn, which is the first of the four parts."""

    def __init__(self, *parameters: Tensor | None, clip: float | None, noisy: bool, padded: bool) -> None:
        super().__init__(*parameters, clip=clip, noisy=noisy, padded=padded)  # type: ignore[arg-type]
        size = self.size
        self.bias_hidden = self.bias_state[2 * size :]
        # Rows n, r, z: the order of the first three parts.
        self.weight = torch.cat([self.weight_state[2 * size :], self.weight_state[: 2 * size]])
        self.weight_t = self.weight.t().contiguous()

    def driven_bias(self) -> Tensor:
        """Both biases of r and z, the inputs' of n."""
        size = self.size
        return torch.cat(
            [self.bias_input[: 2 * size] + self.bias_state[: 2 * size], self.bias_input[2 * size :]]
        )

    def drive(self, gates: Tensor, driven: Tensor) -> None:
        """r, z and n from the inputs; the first part starts as its bias."""
        torch.mm(driven, self.weight_driven, out=gates[:, self.size :])
        gates[:, : self.size] = self.bias_hidden

    def forward(self, gates: Tensor, states: Tensor, noise: Sequence[Tensor] | None, first: bool) -> None:
        """One product and five passes per bin."""
        size = self.size
        steps = zip(
            gates[..., : 3 * size].unbind(0), gates[..., size : 3 * size].unbind(0),
            *(part.unbind(0) for part in self.parts(gates)),
            states[:-1].unbind(0), states[1:].unbind(0), strict=True,
        )  # fmt: skip
        for step, (recurrent, rz, hidden, r, z, n, state, new) in enumerate(steps):
            recurrent.addmm_(state, self.weight_t)
            rz.sigmoid_()
            torch.add(self.minus_one, n.addcmul_(r, hidden).sigmoid_(), alpha=2.0, out=n)
            torch.lerp(n, state, z, out=new)
            if self.clips(step, first):
                self.clamp(new, state, z)
            if noise is not None:
                new.add_(noise[step])

    def backward(
        self, gates: Tensor, states: Tensor, deltas: Tensor, grad: Tensor,
        arriving: Sequence[Tensor] | None, noise_grads: Sequence[Tensor] | None, first: bool,
    ) -> None:  # fmt: skip
        """Every part's derivative by h' first, for all bins; then three passes and one product per bin."""
        size = self.size
        hidden, r, _, _ = self.parts(gates)
        along = self.coefficients(gates, states, deltas, first)
        to_hidden, to_r, _, to_n = self.parts(deltas)
        torch.mul(to_n, r, out=to_hidden)
        torch.mul(to_hidden, hidden, out=to_r).mul_(1.0 - r)
        split = deltas.view(*deltas.shape[:2], 4, size).unbind(0)
        recurrent = deltas[..., : 3 * size].unbind(0)
        spread = grad[:, None]
        for step in steps_back(len(gates), grad, arriving, noise_grads):
            split[step].mul_(spread)
            grad.mul_(along[step])
            grad.addmm_(recurrent[step], self.weight)

    def sums(self) -> list[Tensor]:
        """Transposed gradients of the state's and the inputs' weights, and that of b_hn."""
        size = self.size
        shapes = (size, 3 * size), tuple(self.weight_driven.shape), (size,)
        return [self.weight.new_zeros(shape) for shape in shapes]

    def collect(
        self, sums: Sequence[Tensor], deltas: Tensor, gates: Tensor, states: Tensor, driven: Tensor
    ) -> None:
        """One product for the state, one for the inputs."""
        del gates
        size = self.size
        sums[0].addmm_(states.t(), deltas[:, : 3 * size])
        sums[1].addmm_(driven.t(), deltas[:, size:])
        sums[2].add_(deltas[:, :size].sum(0))

    def parameter_grads(self, sums: Sequence[Tensor]) -> list[Tensor | None]:
        """Back in torch's order."""
        size = self.size
        state, bias, hidden = sums[0].t(), sums[1][-1], sums[2]
        weight_state = self.scale[:, None] * torch.cat([state[size:], state[:size]])
        biases = self.biases(bias, torch.cat([bias[: 2 * size], hidden]))
        return [self.input_weight_grad(sums[1]), weight_state, *biases]


class GRUBefore(GRUKernel):
    """r multiplies h, and the product r h is the first of the four parts."""

    def __init__(self, *parameters: Tensor | None, clip: float | None, noisy: bool, padded: bool) -> None:
        super().__init__(*parameters, clip=clip, noisy=noisy, padded=padded)  # type: ignore[arg-type]
        self.weight_gates, self.weight_new = self.weight_state.split([2 * self.size, self.size])
        self.weight_gates_t, self.weight_new_t = (
            self.weight_gates.t().contiguous(),
            self.weight_new.t().contiguous(),
        )

    def driven_bias(self) -> Tensor:
        """All biases."""
        return self.bias_input + self.bias_state

    def drive(self, gates: Tensor, driven: Tensor) -> None:
        """r, z and n from the inputs."""
        torch.mm(driven, self.weight_driven, out=gates[:, self.size :])

    def forward(self, gates: Tensor, states: Tensor, noise: Sequence[Tensor] | None, first: bool) -> None:
        """Two products and five passes per bin."""
        size = self.size
        steps = zip(
            gates[..., size : 3 * size].unbind(0), *(part.unbind(0) for part in self.parts(gates)),
            states[:-1].unbind(0), states[1:].unbind(0), strict=True,
        )  # fmt: skip
        for step, (rz, reset, r, z, n, state, new) in enumerate(steps):
            rz.addmm_(state, self.weight_gates_t).sigmoid_()
            torch.mul(r, state, out=reset)
            torch.add(self.minus_one, n.addmm_(reset, self.weight_new_t).sigmoid_(), alpha=2.0, out=n)
            torch.lerp(n, state, z, out=new)
            if self.clips(step, first):
                self.clamp(new, state, z)
            if noise is not None:
                new.add_(noise[step])

    def backward(
        self, gates: Tensor, states: Tensor, deltas: Tensor, grad: Tensor,
        arriving: Sequence[Tensor] | None, noise_grads: Sequence[Tensor] | None, first: bool,
    ) -> None:  # fmt: skip
        """As far as can be for all bins first; then two products per bin."""
        size = self.size
        reset, r, _, _ = self.parts(gates)
        along = self.coefficients(gates, states, deltas, first)
        to_reset, to_r, _, to_n = self.parts(deltas)
        torch.mul(reset, 1.0 - r, out=to_r)
        split = deltas[..., 2 * size :].unflatten(2, (2, size)).unbind(0)
        spread = grad[:, None]
        for step in steps_back(len(gates), grad, arriving, noise_grads):
            split[step].mul_(spread)
            torch.mm(to_n[step], self.weight_new, out=to_reset[step])
            to_r[step].mul_(to_reset[step])
            grad.mul_(along[step]).addcmul_(to_reset[step], r[step])
            grad.addmm_(deltas[step, :, size : 3 * size], self.weight_gates)

    def sums(self) -> list[Tensor]:
        """Transposed gradients of the weights of the state into r and z, into n, and of the inputs."""
        size = self.size
        shapes = (size, 2 * size), (size, size), tuple(self.weight_driven.shape)
        return [self.weight_state.new_zeros(shape) for shape in shapes]

    def collect(
        self, sums: Sequence[Tensor], deltas: Tensor, gates: Tensor, states: Tensor, driven: Tensor
    ) -> None:
        """One product for each of them."""
        size = self.size
        sums[0].addmm_(states.t(), deltas[:, size : 3 * size])
        sums[1].addmm_(gates[:, :size].t(), deltas[:, 3 * size :])
        sums[2].addmm_(driven.t(), deltas[:, size:])

    def parameter_grads(self, sums: Sequence[Tensor]) -> list[Tensor | None]:
        """Back in torch's order."""
        bias = sums[2][-1]
        weight_state = self.scale[:, None] * torch.cat([sums[0].t(), sums[1].t()])
        return [self.input_weight_grad(sums[2]), weight_state, *self.biases(bias, bias)]
