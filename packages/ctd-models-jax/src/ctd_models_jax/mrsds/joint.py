"""One model of several recordings, of different days or animals: neurons of their own, shared dynamics."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from ctd_models_jax.mrsds.encoder import BidirectionalGRU, Encoder, Transformer
from ctd_models_jax.mrsds.model import MRSDS, Parameters
from ctd_models_jax.mrsds.perceptron import Perceptron
from ctd_models_jax.recording import Trials


class Encoders(NamedTuple):
    """Encoders of all sessions, alike in what comes after the embeddings.

    Attributes:
        core: Through time; of all sessions.
        head: To the posterior's parts; of all sessions.
        sessions: What each has of its own: encoders without core and head.
    """

    core: Transformer | BidirectionalGRU
    head: Perceptron
    sessions: list[Encoder]


@dataclass(frozen=True)
class JointMRSDS:
    """A model for each session, alike in all but the neurons.

    Parameters are those of `MRSDS` with `Encoders` for the encoder and a list of emissions, one a session;
    data are lists of trials, one a session. The loss is the mean over sessions, whatever their numbers of
    neurons and trials.

    Attributes:
        names: Of the sessions.
        models: Of each session alone.
    """

    names: tuple[str, ...]
    models: tuple[MRSDS, ...]

    def __post_init__(self) -> None:
        first = self.models[0]
        for name, model in zip(self.names, self.models, strict=True):
            for what in ("sizes", "inputs", "family", "settings"):
                if getattr(model, what) != getattr(first, what):
                    raise ValueError(
                        f"{what} must be those of {self.names[0]} in all sessions, {getattr(first, what)}: "
                        f"{name} has {getattr(model, what)}"
                    )

    @property
    def monitor(self) -> str:
        """The term of `score` that decides which epoch is best."""
        return self.models[0].monitor

    def initialize(
        self,
        key: Array,
        means: Sequence[ArrayLike | None] | None = None,
        stds: Sequence[ArrayLike | None] | None = None,
    ) -> tuple[Parameters, Parameters]:
        """Draw parameters; those of the first session and what is shared are the first model's own.

        Args:
            key: Of the draw.
            means: For each session what `MRSDS.initialize` takes.
            stds: Likewise.

        Returns:
            The parameters, and which of them are trained.
        """
        nothing = [None] * len(self.models)
        each = zip(self.models, self._keys(key), means or nothing, stds or nothing, strict=True)
        drawn = [model.initialize(own, mean, std) for model, own, mean, std in each]
        return _joined([params for params, _ in drawn]), _joined([flags for _, flags in drawn])

    def of(self, params: Parameters, index: int) -> Parameters:
        """The parameters of one session's model."""
        shared: Any = params.encoder
        encoder = dataclasses.replace(shared.sessions[index], core=shared.core, head=shared.head)
        emissions: Any = params.emissions
        return params._replace(encoder=encoder, emissions=emissions[index])

    def loss(
        self, params: Parameters, trials: Sequence[Trials], *, key: Array, **more: Any
    ) -> dict[str, Array]:
        """Terms of `MRSDS.loss`, each the mean over sessions; arguments as there."""
        return _mean(self._each("loss", params, trials, key, **more))

    def score(self, params: Parameters, trials: Sequence[Trials], *, key: Array) -> dict[str, Array]:
        """Terms of `MRSDS.score`, each the mean over sessions; of several also each one's `monitor`."""
        each = self._each("score", params, trials, key)
        if len(each) == 1:
            return each[0]
        named = zip(self.names, each, strict=True)
        return _mean(each) | {f"{self.monitor}/{name}": terms[self.monitor] for name, terms in named}

    def _each(
        self, what: str, params: Parameters, trials: Sequence[Trials], key: Array, **more: Any
    ) -> list[dict[str, Array]]:
        pairs = zip(self.models, trials, self._keys(key), strict=True)
        return [
            getattr(model, what)(self.of(params, index), own, key=own_key, **more)
            for index, (model, own, own_key) in enumerate(pairs)
        ]

    def _keys(self, key: Array) -> list[Array]:
        """One a session; the first gets the key itself, so that a session alone is the model of one."""
        return [key, *(jax.random.fold_in(key, index) for index in range(1, len(self.models)))]


def _joined(parts: Sequence[Parameters]) -> Parameters:
    first = parts[0]
    own = [dataclasses.replace(part.encoder, core=None, head=None) for part in parts]
    encoders: Any = Encoders(first.encoder.core, first.encoder.head, own)
    emissions: Any = [part.emissions for part in parts]
    return first._replace(encoder=encoders, emissions=emissions)


def _mean(each: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {name: jnp.mean(jnp.stack([jnp.asarray(terms[name]) for terms in each])) for name in each[0]}
