"""Whether messages between regions are the true ones once the states are brought into the true space."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ctd_analysis.affine_map import Moments
from ctd_analysis.bootstrap import Bootstrap, Undefined
from ctd_analysis.metrics.base import Block, Ends, Estimates, Metric, score_arrays
from ctd_analysis.results import Definition, Flags, Floats, Integers

_FORMULA = (
    "sum_c <x_c, y_c> / sqrt(sum_c <x_c, x_c> sum_c <y_c, y_c>), c over the regions that {source} tells; "
    "y_c = the true messages to region c, x_c = A_c m_c of the model's messages m_c, both less their mean "
    "over all scored trials and bins; A_c = linear part of the affine map of least squared error, over the "
    "training trials, from the model's states of region c to the true ones"
)
_TEXT = (
    "Nothing is fitted to the messages: what tells a region of the model something must tell the true region "
    "the same, in the space into which the region's states are mapped. 1 for the true messages; means don't "
    "count, since a constant is any region's own as well. Which functions of its own state count as a "
    "region's is for model and truth to agree on: both best count messages from the senders' mean states."
)
COSINE = Definition(
    name="state-mapped-1",
    metric="message_cosine",
    formula=f"mean over sources of {_FORMULA.format(source='one')}",
    text=_TEXT,
    source="MR-SDS",
)
_PROJECTED = "; y_c projected onto the directions that A_c reaches"
PROJECTED = Definition(
    name="projected-1",
    metric="message_cosine",
    formula=COSINE.formula + _PROJECTED,
    text="The same, but of true messages only what points where the model's states of the region can: no "
    "model with fewer states than the truth can send the rest.",
)
# Directions of less than this part of the largest are rounding.
_SMALLEST = 1e-9
NEEDED = ("states", "true_states", "communication", "true_communication")


class MessageCosine(Metric):
    """Cosine similarity with the true messages, for each region that sends and their mean."""

    name = "message_cosine"
    requires = NEEDED
    definitions = (COSINE, PROJECTED)
    fits = True

    def __init__(self) -> None:
        self._moments: dict[int, Moments] = {}
        self._weights: dict[int, Floats] = {}
        self._reason = "there are no training trials to fit the maps of states to"
        self._sums: dict[str, list[_Sums]] = {COSINE.name: [], PROJECTED.name: []}
        self._ends: Ends | None = None

    def fit(self, block: Block) -> None:
        """Adds training trials to the least squares problem of each region."""
        if not {"states", "true_states"} <= block.regions.keys():
            self._reason = "states of the model or the truth have no regions"
            return
        found, true = block.regions["states"], block.regions["true_states"]
        for region in np.unique(true).tolist():
            source = block.rows("states")[:, found == region]
            target = block.rows("true_states")[:, true == region]
            if region not in self._moments:
                self._moments[region] = Moments(source.shape[1], target.shape[1])
            self._moments[region].update(source, target)

    def score(self, block: Block) -> None:
        """Gathers products of messages of trials of the scored split."""
        if not self._moments:
            return
        if not self._weights:
            self._weights = {region: m.fit().weight for region, m in self._moments.items()}
        found, true = (block.ends[name] for name in NEEDED[2:])
        self._ends = true
        sizes = {region: weight.shape[1] for region, weight in self._weights.items()}
        if any(found.of(c).sum() != sizes.get(c[1]) for c in found.connections()):
            self._reason = "the model's messages aren't in the space of its states"
            return
        pairs, projected = [], []
        for connection in true.connections():
            mine = block.signals["communication"][..., found.of(connection)]
            if mine.shape[2] == 0:  # a model without the connection says nothing
                mine = np.zeros((*mine.shape[:2], self._weights[connection[1]].shape[1]))
            theirs = block.signals["true_communication"][..., true.of(connection)]
            weight = self._weights[connection[1]]
            reached = _directions(weight)
            pairs.append((mine @ weight.T, theirs))
            projected.append((mine @ (weight.T @ reached), theirs @ reached))
        source = np.array([connection[0] for connection in true.connections()])
        for name, both in ((COSINE.name, pairs), (PROJECTED.name, projected)):
            self._sums[name].append(_Sums.of(both, source, block.valid))

    def estimates(self, bootstrap: Bootstrap) -> Estimates:
        """The mean over sources, then each, the maps held fixed in the bootstrap."""
        if not self._sums[COSINE.name] or self._ends is None:
            return [(form, Undefined(self._reason)) for form in self.definitions]
        return [
            pair
            for form in self.definitions
            for pair in _by_source(
                form, _Sums.concatenate(self._sums[form.name]), self._ends.regions, bootstrap
            )
        ]


def _by_source(form: Definition, sums: _Sums, regions: tuple[str, ...], bootstrap: Bootstrap) -> Estimates:
    """The mean over sources, then each."""
    trials, sources = len(sums.bins), np.unique(sums.source)

    def mean(weights: Floats) -> Floats:
        return np.mean([sums.cosine(weights, source) for source in sources], axis=0)

    estimates: Estimates = [(form, bootstrap.estimate(mean, trials))]
    for source in sources.tolist():
        formula = _FORMULA.format(source=regions[source]) + (_PROJECTED if form is PROJECTED else "")
        definition = replace(form, metric=f"{form.metric} {regions[source]}", formula=formula)
        estimate = bootstrap.estimate(lambda weights, s=source: sums.cosine(weights, s), trials)
        estimates.append((definition, estimate))
    return estimates


def _directions(weight: Floats) -> Floats:
    """Orthonormal columns that span what a matrix (target, source) reaches, (target, direction)."""
    left, scale, _ = np.linalg.svd(weight, full_matrices=False)
    return left[:, scale > _SMALLEST * scale.max(initial=0.0)]


class _Sums:
    """Sums per trial of messages and their products, channel by channel.

    Args:
        bins: Bins that count, (trial,).
        source: Region that each connection comes from, (connection,).
        totals: Of each connection, the sums over bins of x and y, (trial, 2, channel).
        products: Of each connection, the sums of <x, x>, <y, y> and <x, y>, (connection, trial, 3).
    """

    def __init__(self, bins: Floats, source: Integers, totals: list[Floats], products: Floats) -> None:
        self.bins, self.source, self.totals, self.products = bins, source, totals, products

    @classmethod
    def of(cls, pairs: list[tuple[Floats, Floats]], source: Integers, valid: Flags) -> _Sums:
        """Of some trials: x and y of each connection, (trial, time, channel)."""
        totals, products = [], []
        for both in pairs:
            # np.where, not a product: padding may hold anything, NaN too.
            x, y = (np.where(valid[..., None], values, 0.0) for values in both)
            totals.append(np.stack([x.sum(axis=1), y.sum(axis=1)], axis=1))
            products.append([np.einsum("btc,btc->b", *two) for two in ((x, x), (y, y), (x, y))])
        return cls(valid.sum(axis=1).astype(np.float64), source, totals, np.swapaxes(products, 1, 2))

    @classmethod
    def concatenate(cls, parts: list[_Sums]) -> _Sums:
        """The sums of several blocks of trials as one."""
        totals = [np.concatenate(group) for group in zip(*(part.totals for part in parts), strict=True)]
        bins = np.concatenate([part.bins for part in parts])
        return cls(bins, parts[0].source, totals, np.concatenate([p.products for p in parts], axis=1))

    def cosine(self, weights: Floats, source: int) -> Floats:
        """Cosine of all that one region sends, (resample,); NaN where nothing is sent."""
        bins = np.maximum(weights @ self.bins, 1.0)[:, None]
        centred = np.zeros((len(weights), 3))
        for connection in np.flatnonzero(self.source == source):
            total = self.totals[connection]
            x, y = (weights @ total[:, side] for side in (0, 1))
            means = np.stack([(a * b).sum(axis=1) for a, b in ((x, x), (y, y), (x, y))], axis=1)
            centred += weights @ self.products[connection] - means / bins
        scale = np.sqrt(np.maximum(centred[:, 0], 0.0) * np.maximum(centred[:, 1], 0.0))
        return np.where(scale > 0.0, centred[:, 2] / np.where(scale > 0.0, scale, 1.0), np.nan)


def message_cosine(scored: Block, train: Block, *, bootstrap: Bootstrap | None = None) -> Estimates:
    """Cosine similarity of a model's messages with the true ones.

    Args:
        scored: Of `block_of`: `states`, `true_states`, `communication` and `true_communication`, with `ends`
            and `regions`. Messages to a region have its states' dimensions, in their order.
        train: The same of the trials that the maps are fitted to.
        bootstrap: Settings of the interval.

    Returns:
        Pairs of definition and estimate: the mean over sources, then each source's.
    """
    return score_arrays(MessageCosine(), scored, train, bootstrap)
