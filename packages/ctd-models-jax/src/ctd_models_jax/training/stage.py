"""One stretch of training: how long, at what learning rate, which parameters."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import optax

from ctd_models_jax.checks import require_choice, require_positive, require_share

SCHEDULES = ("cosine", "exponential", "constant")
CLIPS = ("global_norm", "element")


@dataclass
class Stage:
    """A stretch of training with an optimiser of its own; several in a list are run one after another.

    Attributes:
        epochs: Passes over the data (or calls of a generator's steps); either this or `steps`.
        steps: Updates, rounded up to whole epochs.
        learning_rate: Peak of the schedule.
        schedule: ``cosine``: a linear rise, then half a cosine; ``exponential``: learning_rate · decay^step;
            ``constant``.
        warm_up: Share of the steps in which a cosine schedule rises.
        first: Share of the learning rate that a cosine schedule starts from.
        final: Share of the learning rate that a cosine schedule ends at.
        decay: Factor per step of an exponential schedule.
        weight_decay: Of AdamW; 0 is Adam.
        epsilon: Adam's, added to the root of the second moment.
        clip: Bound on the gradient; null for none.
        clip_by: ``global_norm``: one norm over all parameters; ``element``: each entry alone.
        trained: Patterns of the names of trained parameters (``encoder*``, ``decoder.weight_hh``); those
            that the model itself holds fixed stay so. All others keep every bit.
        name: What the stage is called in messages and in metrics.csv.
    """

    epochs: int | None = None
    steps: int | None = None
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    warm_up: float = 0.05
    first: float = 0.1
    final: float = 0.01
    decay: float = 0.9999
    weight_decay: float = 0.0
    epsilon: float = 1e-8
    clip: float | None = 1.0
    clip_by: str = "global_norm"
    trained: list[str] = field(default_factory=lambda: ["*"])
    name: str = "training"

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            given = f"epochs={self.epochs} and steps={self.steps}"
            raise ValueError(f"stage {self.name!r}: expected either epochs or steps, got {given}")
        lengths = [name for name in ("epochs", "steps", "clip") if getattr(self, name) is not None]
        require_positive(self, *lengths, "learning_rate", "decay", "epsilon")
        require_share(self, "warm_up")
        require_choice(self, "schedule", SCHEDULES)
        require_choice(self, "clip_by", CLIPS)

    def length(self, steps_per_epoch: int) -> int:
        """How many epochs the stage lasts."""
        return self.epochs if self.epochs is not None else -(-(self.steps or 0) // steps_per_epoch)

    def learning_rates(self, steps_per_epoch: int) -> optax.Schedule:
        """The learning rate as a function of the stage's step."""
        if self.schedule == "constant":
            return optax.constant_schedule(self.learning_rate)
        if self.schedule == "exponential":
            return optax.exponential_decay(self.learning_rate, transition_steps=1, decay_rate=self.decay)
        total = max(self.length(steps_per_epoch) * steps_per_epoch, 2)
        return optax.warmup_cosine_decay_schedule(
            init_value=self.first * self.learning_rate,
            peak_value=self.learning_rate,
            warmup_steps=min(max(int(self.warm_up * total), 1), total - 1),
            decay_steps=total,
            end_value=self.final * self.learning_rate,
        )

    def optimizer(self, steps_per_epoch: int) -> optax.GradientTransformation:
        """Clipping, then Adam or AdamW under the schedule."""
        parts = []
        if self.clip is not None:
            by_norm = self.clip_by == "global_norm"
            parts.append(optax.clip_by_global_norm(self.clip) if by_norm else optax.clip(self.clip))
        rates = self.learning_rates(steps_per_epoch)
        parts.append(optax.adamw(rates, eps=self.epsilon, weight_decay=self.weight_decay))
        return optax.chain(*parts)

    def selected(self, params: Any, trainable: Any) -> Any:
        """A bool for each leaf: whether this stage trains it.

        Args:
            params: The parameters.
            trainable: The same tree with a bool a leaf: what may be trained at all.

        Raises:
            ValueError: A pattern fits no parameter, or nothing is left to train.
        """
        names = leaf_names(params)
        for pattern in self.trained:
            if not fnmatch.filter(names, pattern):
                raise ValueError(f"stage {self.name!r}: no parameter is {pattern}; there are {_list(names)}")
        chosen = [any(fnmatch.fnmatchcase(name, pattern) for pattern in self.trained) for name in names]
        allowed = [bool(flag) for flag in jax.tree.leaves(trainable)]
        numbers = [eqx.is_inexact_array(leaf) for leaf in jax.tree.leaves(params)]
        flags = [all(three) for three in zip(chosen, allowed, numbers, strict=True)]
        if not any(flags):
            raise ValueError(f"stage {self.name!r}: all of {', '.join(self.trained)} are held fixed")
        return jax.tree.unflatten(jax.tree.structure(params), flags)


def leaf_names(params: Any) -> list[str]:
    """Names of a tree's leaves, ``decoder.weight_hh``, in its order."""
    paths = jax.tree_util.tree_leaves_with_path(params)
    return [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in paths]


def all_trainable(params: Any) -> Any:
    """A flag for each leaf: True for arrays of floating-point numbers."""
    return jax.tree.map(eqx.is_inexact_array, params)


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:20])
    return shown if len(names) <= 20 else f"{shown}, ... ({len(names)} in all)"
