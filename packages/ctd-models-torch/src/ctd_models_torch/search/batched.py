"""All members as one batched model: a leading population axis on every parameter and hyperparameter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ctd_contract.torch.training import Draw
from ctd_models_torch.errors import InputError
from ctd_models_torch.recording import Recording
from ctd_models_torch.search.per_member import Lanes, MembersDifferError, PerMember, streams_of
from ctd_models_torch.search.trainee import Trainee
from ctd_models_torch.training import ModelTraining

# Training settings that only the optimizer and the schedule read, which every member has for itself.
OWN = ("learning_rate", "weight_decay", "gradient_clip", "epsilon", "warmup", "plateau_")


class BatchedModel:
    """Computes the gradients of all members at once.

    The members' parameters become views of stacked ones, so that their own optimizers step them. Sequence
    functions run as plain loops over bins, which ``torch.vmap`` can batch. Numbers are those of members that
    are trained alone, but for rounding.

    Args:
        trainees: The members.
        data: The open recordings.

    Raises:
        InputError: They can't be batched.
    """

    def __init__(self, trainees: Sequence[Trainee], data: Sequence[Recording]) -> None:
        self.trainees, self.lanes = trainees, Lanes()
        first, device = trainees[0], trainees[0].module.device
        self.positions = torch.arange(len(trainees), device=device)
        try:
            settings = first.settings.with_values(self._values())
            template = first.task.module(data, settings, first.member.seed)[0]
        except MembersDifferError as error:
            raise InputError(str(error)) from error
        for part in template.modules():
            if hasattr(part, "backend"):
                part.backend = "plain"  # type: ignore[assignment]
        template.trainer = first.clock  # type: ignore[assignment]
        self.loss = _Loss(template).to(device)
        names = dict(first.module.named_parameters())
        self.parameters = {f"module.{name}": self._stack(name) for name in names}
        # What a model keeps besides parameters doesn't change in training.
        buffers = [dict(one.module.named_buffers()) for one in trainees]
        self.buffers = {f"module.{name}": torch.stack([own[name] for own in buffers]) for name in buffers[0]}

    def _values(self) -> dict[str, PerMember]:
        """Hyperparameters of the model that differ among members."""
        values = {}
        for key, own in self.trainees[0].member.values.items():
            all_values = [one.member.values[key] for one in self.trainees]
            section, _, name = key.partition(".")
            if section == "training" and name.startswith(OWN):
                continue
            if any(value != own for value in all_values):
                if section == "training":
                    raise InputError(f"{key} differs among the members: set search.batched=false")
                stacked = torch.tensor(all_values, dtype=torch.float64, device=self.positions.device)
                values[key] = PerMember(key, stacked, self.lanes)
        return values

    def _stack(self, name: str) -> Tensor:
        """Stack a parameter of all members and let theirs be views of it, gradients included."""
        own = [one.module.get_parameter(name) for one in self.trainees]
        try:
            stacked = torch.stack([parameter.detach() for parameter in own])
        except RuntimeError as error:
            raise InputError(f"the members' {name} differ in shape: set search.batched=false") from error
        if own[0].requires_grad:
            stacked.requires_grad_().grad = torch.zeros_like(stacked)
        for index, parameter in enumerate(own):
            parameter.data = stacked.detach()[index]
            if stacked.grad is not None:
                parameter.grad = stacked.grad[index]
        return stacked

    def gradients(self, trainees: Sequence[Trainee], batches: Sequence[dict[str, Tensor]], step: int) -> None:
        """Put the gradients of a step into the members' parameters; note whose loss is no number."""
        for parameter in self.parameters.values():
            if parameter.grad is not None:
                parameter.grad.zero_()
        losses = self._losses(batches, step)
        losses.backward(torch.ones_like(losses))
        if losses.device.type != "cpu":  # a GPU is not waited for: the end of the epoch tells
            return
        for one, loss in zip(trainees, losses.detach().tolist(), strict=True):
            if not one.failure and not abs(loss) < float("inf"):
                one.failure = f"the loss is {loss} in epoch {one.epoch + 1}, step {step + 1}"

    def _losses(self, batches: Sequence[dict[str, Tensor]], step: int) -> Tensor:
        """Losses (member,) of a batch of each."""
        stacked = {name: torch.stack([batch[name] for batch in batches]) for name in batches[0]}

        def draw(name: str) -> torch.Generator:
            return streams_of([one.module.draw(name, step=step) for one in self.trainees])

        def loss(state: dict[str, Tensor], batch: dict[str, Tensor], position: Tensor) -> Tensor:
            self.lanes.index = position
            try:
                with self.lanes:
                    return functional_call(self.loss, state, (batch, draw))
            finally:
                self.lanes.index = None

        batch_all = torch.vmap(loss, randomness="same")
        try:
            return batch_all(self.parameters | self.buffers, stacked, self.positions)
        except MembersDifferError as error:
            raise InputError(str(error)) from error
        except RuntimeError as error:
            if "vmap" not in str(error):
                raise
            raise InputError(f"this model can't be batched, set search.batched=false ({error})") from error


class _Loss(nn.Module):
    """The summed loss of a member as a module's forward pass, which is what can be called functionally."""

    def __init__(self, module: ModelTraining) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch: dict[str, Tensor], draw: Draw) -> Tensor:
        terms = self.module.losses(batch, draw)
        return torch.stack([term.reshape(()) for term in terms.values()]).sum()
