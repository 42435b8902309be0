"""Perceptrons from every source to every region of a state, evaluated side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .checks import finite_array
from .nonlinearity import FloatArray, nonlinearity

# Axes of the stacked weights, and of biases but for the last; entries past a region's size do nothing.
_AXES: tuple[str, ...] = ("mode", "target region", "source", "out", "in")


class Stack:
    """Parameters of one perceptron for each mode, target region and source, layer by layer.

    Args:
        weights: (mode, target region, source, out, in) of each layer. The first takes the source, the last
            gives the region; both are padded to the largest size.
        biases: (mode, target region, source, out) of each layer.
        local_weights: (mode, target region, source, out, state of a region) of each layer, from the target's
            own state; None where networks see their source alone.
        source_sizes: Length of each source.
        target_sizes: Length of each region.
        prefix: Of the parameters' names in errors and files.

    A mode axis of length 1 is shared by all modes.
    """

    def __init__(
        self,
        weights: Sequence[ArrayLike],
        biases: Sequence[ArrayLike],
        local_weights: Sequence[ArrayLike] | None,
        source_sizes: Sequence[int],
        target_sizes: Sequence[int],
        prefix: str = "",
    ) -> None:
        if not len(weights) or len(weights) != len(biases):
            raise ValueError(
                f"expected as many {prefix}weights as {prefix}biases, one or more, got {len(weights)} and "
                f"{len(biases)}"
            )
        if local_weights is not None and len(local_weights) != len(weights):
            raise ValueError(f"expected {len(weights)} {prefix}local_weights, got {len(local_weights)}")
        self.source_sizes, self.target_sizes, self.prefix = tuple(source_sizes), tuple(target_sizes), prefix
        regions, sources, widest = len(target_sizes), len(source_sizes), max(target_sizes)
        sizes: tuple[int | None, ...] = (None, regions, sources, None, max(source_sizes))
        self.arrays: dict[str, FloatArray] = {}

        def keep(name: str, value: ArrayLike, shape: Sequence[int | None]) -> None:
            axes = dict(zip(_AXES, shape, strict=False))
            self.arrays[f"{prefix}{name}"] = finite_array(f"{prefix}{name}", value, axes)

        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            last = layer == len(weights) - 1
            keep(f"weight_{layer}", weight, (*sizes[:3], widest if last else None, sizes[4]))
            width = self.arrays[f"{prefix}weight_{layer}"].shape[3]
            keep(f"bias_{layer}", bias, (*sizes[:3], width))
            if local_weights is not None:
                keep(f"local_weight_{layer}", local_weights[layer], (*sizes[:3], width, widest))
            sizes = (None, regions, sources, None, width)
        self.n_layers, self.local = len(weights), local_weights is not None

    @property
    def modes(self) -> set[int]:
        """Lengths of the mode axes."""
        return {array.shape[0] for array in self.arrays.values()}

    def in_mode(self, mode: int) -> dict[str, FloatArray]:
        """The arrays of one mode, with a mode axis of length 1."""
        return {
            name: array if len(array) == 1 else array[mode : mode + 1] for name, array in self.arrays.items()
        }


class RegionNetworks:
    """The perceptrons of a stack in one mode.

    Args:
        stack: Parameters, of one mode.
        activation: Between layers, by name.
        linear_between: Whether only a region's network to itself has activations.
    """

    def __init__(self, stack: Stack, activation: str, *, linear_between: bool = False) -> None:
        names = [f"{stack.prefix}{{}}_{layer}" for layer in range(stack.n_layers)]
        arrays = {name: array[0] for name, array in stack.arrays.items()}
        self._weights = [arrays[name.format("weight")] for name in names]
        self._biases = [arrays[name.format("bias")][:, :, None] for name in names]
        self._local = [arrays[name.format("local_weight")] for name in names] if stack.local else None
        regions, sources = self._weights[0].shape[:2]
        own = np.eye(regions, sources, dtype=bool)[..., None, None]
        if self._local is not None:
            # A region's network to itself has its state as source already.
            self._local = [np.where(own, 0.0, weight) for weight in self._local]
        self._phi = nonlinearity(activation)
        self._is_linear = ~own if linear_between else np.zeros_like(own)
        self._source, self._target = _places(stack.source_sizes), _places(stack.target_sizes)

    def messages(self, source: FloatArray, x: FloatArray) -> FloatArray:
        """From each source to each state, (point, source, state), of sources and states (point, ...)."""
        return self._unpad(self._run(source, x, tangents=False)[0])

    def with_jacobians(self, source: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Messages and what their sum changes by with the source and with the target's own state.

        Returns:
            (point, source, state), (point, state, source channel) and (point, state, state).
        """
        drive, by_source, by_local = self._run(source, x, tangents=True)
        (region, row), (origin, column) = self._target, self._source
        slope = by_source[region[:, None], origin, :, row[:, None], column]
        through_source = np.moveaxis(slope, -1, 0)
        through_local = np.zeros((len(x), len(region), len(region)))
        if self._local is not None:
            slope = by_local.sum(axis=1)[region[:, None], :, row[:, None], row]
            through_local += np.moveaxis(np.where((region[:, None] == region)[..., None], slope, 0.0), -1, 0)
        return self._unpad(drive), through_source, through_local

    def _run(
        self, source: FloatArray, x: FloatArray, *, tangents: bool
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Outputs (target, source, point, out), and their tangents (..., in) where these are asked for."""
        feed = _pad(source, self._source)[None]
        local = _pad(x, self._target)[:, None]
        hidden = feed
        by_source = by_local = np.zeros(())
        drive = feed
        for layer, (weight, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            slope = self._slope(drive)[..., None] if tangents and layer else None
            drive = hidden @ np.swapaxes(weight, 2, 3) + bias
            if self._local is not None:
                drive = drive + local @ np.swapaxes(self._local[layer], 2, 3)
            if tangents:
                outer = weight[:, :, None]
                by_source = outer if slope is None else outer @ (slope * by_source)
                if self._local is not None:
                    own = self._local[layer][:, :, None]
                    by_local = own if slope is None else outer @ (slope * by_local) + own
            hidden = np.where(self._is_linear, drive, self._phi.function(drive))
        n_points = drive.shape[2]
        return drive, self._all_points(by_source, n_points), self._all_points(by_local, n_points)

    def _slope(self, drive: FloatArray) -> FloatArray:
        return np.where(self._is_linear, 1.0, self._phi.derivative(drive))

    @staticmethod
    def _all_points(tangent: FloatArray, n_points: int) -> FloatArray:
        """A perceptron of one layer has one slope for all points."""
        if tangent.ndim != 5 or tangent.shape[2] == n_points:
            return tangent
        return np.broadcast_to(tangent, (*tangent.shape[:2], n_points, *tangent.shape[3:]))

    def _unpad(self, drive: FloatArray) -> FloatArray:
        region, row = self._target
        return np.moveaxis(drive, 3, 1)[region, row].transpose(2, 1, 0)


def _places(sizes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """For each channel its group and its place in it."""
    return (
        np.repeat(np.arange(len(sizes)), sizes),
        np.concatenate([np.arange(size) for size in sizes]),
    )


def _pad(values: FloatArray, places: tuple[np.ndarray, np.ndarray]) -> FloatArray:
    """Channels (point, channel) by group, (group, point, place), zero past a group's size."""
    group, place = places
    padded = np.zeros((group.max() + 1, len(values), place.max() + 1))
    padded[group, :, place] = values.T
    return padded
