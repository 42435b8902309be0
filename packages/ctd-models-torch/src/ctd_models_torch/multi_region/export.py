"""Regions side by side as one system of the contract: a gated unit and a readout, block-diagonal."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ctd_contract.dynamics import GRU, Probe
from ctd_contract.readout import Layer
from ctd_contract.readout import Readout as PortableReadout
from ctd_contract.torch.sequences.cells import gru_cell
from ctd_models_torch.decoders.base import array
from ctd_models_torch.lfads.initial_weights import GRUParameters
from ctd_models_torch.multi_region.config import MRLFADSConfig


def block_diagonal(
    generators: Sequence[GRUParameters],
    parts: tuple[int, int, int],
    config: MRLFADSConfig,
    signals: Sequence[str],
) -> GRU:
    """All generators as one gated recurrent unit.

    Args:
        generators: Of the regions.
        parts: Controls and messages that each region receives, and known inputs that all of them share.
        config: Form of the units.
        signals: What is concatenated to its input: all regions' controls, all messages, the known inputs.
    """
    count, total = len(generators), sum(one.size for one in generators)
    states = [_gates(array(one.weight_state)) for one in generators]
    weight_state = np.stack([_diagonal(blocks) for blocks in zip(*states, strict=True)])
    weight_input = np.zeros((3, total, count * sum(parts[:2]) + parts[2]))
    rows = np.cumsum([0, *(one.size for one in generators)])
    for region, one in enumerate(generators):
        own = _gates(array(one.weight_input))
        weight_input[:, rows[region] : rows[region + 1], _columns(region, count, parts)] = own
    bias = np.concatenate([_gates(array(one.bias)) for one in generators], axis=1)
    return GRU(
        weight_input.reshape(3 * total, -1),
        weight_state.reshape(3 * total, total),
        bias.ravel(),
        np.zeros(3 * total),
        reset=config.reset,
        clip=config.clip,
        inputs=signals,
    )


@torch.no_grad()
def probe(
    generators: Sequence[GRUParameters],
    parts: tuple[int, int, int],
    config: MRLFADSConfig,
    states: np.ndarray,
    drive: np.ndarray | None,
) -> Probe:
    """Next states of the regions' own units in float64, see `LatentModel.probe`."""
    state, inputs = Probe.points(states, drive)
    sizes = [one.size for one in generators]
    own = np.split(state, np.cumsum(sizes)[:-1], axis=1)
    following = []
    for region, (one, before) in enumerate(zip(generators, own, strict=True)):
        twin = copy.deepcopy(one).to("cpu", torch.float64)
        received = torch.from_numpy(inputs[:, _columns(region, len(generators), parts)])
        options = {"reset": config.reset, "clip": config.clip}
        following.append(gru_cell(received, torch.from_numpy(before), *twin.weights, **options).numpy())
    return Probe(state, inputs, np.concatenate(following, axis=1))


def side_by_side(
    factor_weights: Sequence[Tensor], chains: Sequence[PortableReadout], order: np.ndarray
) -> PortableReadout:
    """All regions' factors and readouts as one chain.

    Args:
        factor_weights: (factor, state) of each region.
        chains: From its factors to its neurons.
        order: Where each neuron of the recording lies among the regions' neurons.
    """
    if any(chain.is_opaque for chain in chains):
        return PortableReadout.opaque()
    layers = [Layer(_diagonal([array(weight) for weight in factor_weights]))]
    for parallel in zip(*(chain.layers for chain in chains), strict=True):
        weight = _diagonal([layer.weight for layer in parallel])
        bias = np.concatenate([layer.bias for layer in parallel])
        layers.append(Layer(weight, bias, parallel[0].nonlinearity))
    last = layers[-1]
    layers[-1] = Layer(last.weight[order], last.bias[order], last.nonlinearity)
    return PortableReadout(layers, scale=chains[0].scale)


def _gates(stacked: np.ndarray) -> np.ndarray:
    """(3 state, ...) as (3, state, ...)."""
    return stacked.reshape(3, -1, *stacked.shape[1:])


def _columns(region: int, count: int, parts: tuple[int, int, int]) -> np.ndarray:
    """Which columns of the whole input a region receives."""
    controls, messages, inputs = parts
    shared = count * (controls + messages)
    return np.concatenate([
        region * controls + np.arange(controls),
        count * controls + region * messages + np.arange(messages),
        shared + np.arange(inputs),
    ])  # fmt: skip


def _diagonal(blocks: Sequence[np.ndarray]) -> np.ndarray:
    rows, columns = (np.cumsum([0, *(block.shape[axis] for block in blocks)]) for axis in (0, 1))
    whole = np.zeros((rows[-1], columns[-1]))
    for index, block in enumerate(blocks):
        whole[rows[index] : rows[index + 1], columns[index] : columns[index + 1]] = block
    return whole
