"""The loss of LFADS-JSLDS, its named terms, and what is followed on validation trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ctd_models_jax.lfads_jslds import observations
from ctd_models_jax.lfads_jslds.model import LFADSJSLDS, Parameters, Pass
from ctd_models_jax.recording import Trials

GENERATORS = ("rnn", "jslds")


class Cost(NamedTuple):
    """What a recording's trials cost.

    Attributes:
        nll: Negative log-likelihood of each entry by the network and by the linear system, (trial, time,
            neuron).
        drift: (trial,) sum of ‖F(e, u*) - e‖² over bins.
        distance: (trial,) sum of ‖g - a‖².
        initial: (trial,) KL of the initial state in nats.
        inputs: (trial,) KL of the inferred inputs in nats.
    """

    nll: tuple[Array, Array]
    drift: Array
    distance: Array
    initial: Array
    inputs: Array


@dataclass(frozen=True)
class Objective:
    """The loss of a model: functions of parameters and trials, one set of trials a recording.

    Attributes:
        model: The model.
        coordinated_dropout: Share of what encoders may see that is hidden from them in a step.
        per_trial: Whether terms are nats per trial, as published, in place of nats per bin and neuron.
    """

    model: LFADSJSLDS
    coordinated_dropout: float = 0.0
    per_trial: bool = False

    def loss(
        self, params: Parameters, batch: Sequence[Trials], *, key: Array, step: Array | int = 0
    ) -> dict[str, Array]:
        """Named terms of a training step, with samples, dropout, and the KL's weights as they are by then."""
        hide_key, run_key = jax.random.split(key)
        keys = jax.random.split(hide_key, len(batch))
        hidden = [self.hide(keys[i], trials, i) for i, trials in enumerate(batch)]
        read = [self.model.read(params, trials, i, hidden[i][0]) for i, trials in enumerate(batch)]
        weights = [weight for _, weight in hidden]
        found = self.model.run(params, read, batch, key=run_key)
        return self._terms(params, self.costs(params, batch, found, sampled=True), batch, weights, step)

    def score(
        self, params: Parameters, batch: Sequence[Trials], *, key: Array | None = None
    ) -> dict[str, Array]:
        """Of validation trials: the same terms with nothing hidden, dropped or drawn, and the KL at full
        weight.

        Their sum is ``loss``. Of spikes also bits per spike of both generators, of neurons held in
        (``rnn_bps``, ``jslds_bps``) and held out (``_co_bps``), means over recordings.
        """
        del key
        read = [self.model.read(params, trials, i) for i, trials in enumerate(batch)]
        found = self.model.run(params, read, batch)
        costs = self.costs(params, batch, found, sampled=False)
        weights = [jnp.ones(()) for _ in batch]
        terms = self._terms(params, costs, batch, weights, None)
        terms["loss"] = jnp.sum(jnp.stack(list(terms.values())))
        return terms | self._bits(costs, batch)

    def hide(self, key: Array, trials: Trials, session: int) -> tuple[Array | None, Array]:
        """Coordinated dropout of one recording's trials.

        Returns:
            Factors of what encoders read, (trial, time, held-in neuron), None for none; and weights of what
            is scored, (trial, time, neuron): 1 / share where an entry was hidden, 0 where it was shown, and 1
            where encoders never look.
        """
        share = self.coordinated_dropout
        if share == 0:
            return None, jnp.ones(())
        held_in = np.asarray(self.model.held_in[session])
        n_trials, n_time, n_neurons = trials.values.shape
        hidden = jax.random.bernoulli(key, share, (n_trials, n_time, int(held_in.sum())))
        seen = jnp.asarray(trials.visible) * (np.arange(n_time) < self.model.seen_bins(n_time))
        of_seen = jnp.where(seen[..., None] > 0, hidden / share, 1.0)
        weight = jnp.ones((n_trials, n_time, n_neurons)).at[..., np.flatnonzero(held_in)].set(of_seen)
        return ~hidden / (1 - share), weight

    def costs(self, params: Parameters, batch: Sequence[Trials], found: Pass, *, sampled: bool) -> list[Cost]:
        """What each recording's trials cost.

        Args:
            params: The parameters.
            batch: The trials.
            found: The pass over them.
            sampled: Whether posteriors were sampled.
        """
        valid = jnp.concatenate([jnp.asarray(trials.valid) for trials in batch])
        course = found.course
        drift = jnp.sum(valid * jnp.sum(course.drift**2, -1), 1)
        distance = jnp.sum(valid * jnp.sum((course.states - course.linear_states) ** 2, -1), 1)
        initial = inputs = jnp.zeros(len(valid))
        if params.initial_prior is not None:
            start = found.start if sampled else None
            initial = params.initial_prior.divergence(found.initial, start).sum(-1)
        if params.control_prior is not None:
            controls = course.controls if sampled else None
            nats = params.control_prior.divergence(course.posterior, controls).sum(-1)
            inputs = jnp.sum(jnp.where(valid > 0, nats, 0.0), 1)
        factors = [self._factors(params, found, states) for states in (course.states, course.linear_states)]
        costs, first = [], 0
        for index, trials in enumerate(batch):
            rows = slice(first, first + len(trials.values))
            network, linear = (self._nll(params, index, f[rows], trials) for f in factors)
            costs.append(Cost((network, linear), drift[rows], distance[rows], initial[rows], inputs[rows]))
            first = rows.stop
        return costs

    def _factors(self, params: Parameters, found: Pass, states: Array) -> Array:
        shown = states if found.state_mask is None else states * found.state_mask[:, 1:]
        return shown @ params.factors().T

    def _nll(self, params: Parameters, session: int, factors: Array, trials: Trials) -> Array:
        own, values = params.sessions[session], jnp.asarray(trials.values)
        prediction = own.readout(factors)
        if own.log_variance is None:
            nll = observations.poisson(prediction, values)
        else:
            nll = observations.gaussian(prediction, values, own.log_variance)
        return jnp.where(jnp.asarray(trials.scored) > 0, nll, 0.0)

    def _terms(
        self,
        params: Parameters,
        costs: Sequence[Cost],
        batch: Sequence[Trials],
        weights: Sequence[Array],
        step: Array | int | None,
    ) -> dict[str, Array]:
        """Named terms, means over recordings, however many trials or neurons they have."""
        settings = self.model.settings
        terms, kl = settings.weights, settings.kl
        sizes = [1.0 if self.per_trial else float(np.prod(trials.values.shape[1:])) for trials in batch]

        def mean(totals: Sequence[Array]) -> Array:
            each = [total.sum() / len(total) / size for total, size in zip(totals, sizes, strict=True)]
            return jnp.mean(jnp.stack(each))

        def likelihood(generator: int) -> Array:
            pairs = zip(costs, weights, strict=True)
            return mean([(weight * cost.nll[generator]).sum((1, 2)) for cost, weight in pairs])

        share = 1.0 if step is None else self._risen(step)
        named = {
            "rnn": terms.rnn * likelihood(0),
            "jslds": terms.jslds * likelihood(1),
            "fixed_point": terms.fixed_point * mean([cost.drift for cost in costs]),
            "agreement": terms.agreement * mean([cost.distance for cost in costs]),
            "kl_initial": share * kl.initial_state * mean([cost.initial for cost in costs]),
            "kl_inputs": share * kl.inferred_inputs * mean([cost.inputs for cost in costs]),
            "l2": terms.l2 * _squares(params) / float(np.mean(sizes)),
        }
        absent = {
            "kl_initial": params.initial_prior is None,
            "kl_inputs": params.control_prior is None,
            "l2": terms.l2 == 0,
        }
        return {name: value for name, value in named.items() if not absent.get(name, False)}

    def _risen(self, step: Array | int) -> Array:
        """The KL weights' share after so many updates."""
        kl = self.model.settings.kl
        risen = (jnp.asarray(step, jnp.float32) - kl.start) / max(kl.increase, 1)
        return (
            kl.first + (1 - kl.first) * jnp.clip(risen, 0.0, 1.0) if kl.start + kl.increase else jnp.ones(())
        )

    def _bits(self, costs: Sequence[Cost], batch: Sequence[Trials]) -> dict[str, Array]:
        """Bits per spike of both generators; the null model is each neuron's mean over the trials scored."""
        if self.model.family != "poisson":
            return {}
        found: dict[str, list[Array]] = {}
        for index, (cost, trials) in enumerate(zip(costs, batch, strict=True)):
            held_in = np.asarray(self.model.held_in[index])
            scored = jnp.asarray(trials.scored)
            spikes = jnp.where(scored > 0, jnp.asarray(trials.values), 0.0).sum((0, 1))
            bins = jnp.maximum(scored.sum((0, 1)), 1.0)
            null = spikes - spikes * jnp.log(jnp.maximum(spikes / bins, 1e-9))
            for name, nll in zip(GENERATORS, cost.nll, strict=True):
                gain = null - nll.sum((0, 1))
                for ending, chosen in (("bps", held_in), ("co_bps", ~held_in)):
                    if chosen.any():
                        total = jnp.maximum(jnp.sum(spikes[chosen]), 1.0)
                        bits = jnp.sum(gain[chosen]) / total / np.log(2)
                        found.setdefault(f"{name}_{ending}", []).append(bits)
        return {name: jnp.mean(jnp.stack(values)) for name, values in found.items()}


def _squares(params: Parameters) -> Array:
    """Sum of squares of all parameters that are trained."""
    kept = [session._replace(mean=None, std=None) for session in params.sessions]  # type: ignore[arg-type]
    arrays = jax.tree.leaves(eqx.filter(params._replace(sessions=kept), eqx.is_inexact_array))
    return jnp.sum(jnp.stack([jnp.sum(array**2) for array in arrays]))
