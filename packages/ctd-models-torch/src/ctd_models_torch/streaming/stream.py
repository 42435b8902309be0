"""Rates of new data bin by bin, as a brain-computer interface needs them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ctd_models_torch.autoencoder.model import SequentialAutoencoder
from ctd_models_torch.base import LatentModel
from ctd_models_torch.batch import Batch
from ctd_models_torch.errors import InputError
from ctd_models_torch.inference import PREDICTION, expected_of
from ctd_models_torch.lfads.model import LFADS
from ctd_models_torch.saved import SavedModel, load_model
from ctd_models_torch.shape import Shape
from ctd_models_torch.streaming.autoencoder import AutoencoderCourse
from ctd_models_torch.streaming.base import Course
from ctd_models_torch.streaming.lfads import LFADSCourse


class Stream:
    """Infers trials while they are running; what whole trials would give, to rounding.

    That takes a model that reads no later bins: LFADS or BAND with ``encoder.bins`` and, if it has a
    controller, ``controller.causal``, or a sequential autoencoder with ``encoder.window``. The time that a
    bin takes does not depend on how many came before.

    Args:
        model: A fitted model of one recording, which is copied.
        shape: What it is for.

    Attributes:
        latest: What was inferred of the bins that the last `push` returned, by the contract's names,
            (trial, bin, ...): ``states``, and of LFADS ``factors``, ``inferred_inputs`` and, where the
            decoder of behaviour looks at no later bins, ``behavior_prediction``.

    Raises:
        InputError: The model reads later bins.

    Example:
        >>> stream = Stream.open("run")  # doctest: +SKIP
        >>> stream.start(trials=1)  # doctest: +SKIP
        >>> rates = stream.push(spikes_of_this_bin)  # doctest: +SKIP
    """

    def __init__(self, model: LatentModel, shape: Shape) -> None:
        self.model, self.shape = copy.deepcopy(model).eval().to("cpu"), shape
        for module in self.model.modules():
            # The fast loops prepare for whole sequences, which takes longer than a bin does.
            if hasattr(module, "backend"):
                module.backend = "plain"  # pyright: ignore[reportArgumentType]
        self.latest: dict[str, np.ndarray] = {}
        self.start()

    @classmethod
    def open(cls, folder: str | Path, *, session: str | None = None) -> Self:
        """Open the model of a finished fit.

        Args:
            folder: Folder of the run.
            session: Of a model of several recordings: the name of one.

        Raises:
            InputError: There is no model in the folder, no such session, or the model reads later bins.
        """
        saved = _one_session(load_model(folder), session)
        return cls(saved.model, saved.shape)

    def start(self, trials: int = 1) -> None:
        """Begin with the first bin of some trials that run side by side.

        Args:
            trials: Their number.
        """
        if trials < 1:
            raise InputError(f"trials is at least 1, got {trials}")
        with torch.no_grad():
            self._course = _course(self.model, self.shape, trials)
        self._trials, self._begun = trials, False
        self._segment: list[Tensor] = []
        self._waiting: list[Tensor | None] = []

    @torch.no_grad()
    def push(self, observed: ArrayLike | None, inputs: ArrayLike | None = None) -> np.ndarray:
        """Take the next bin.

        The state before the first bin is inferred from the first ``encoder.bins`` (or ``window``) observed
        ones: until the last of these nothing is returned, and then all bins so far.

        Args:
            observed: (trial, neuron) counts or activity of all neurons that the model is for; NaN where a
                neuron was not observed, and anything where it is held out. None for a bin that was not
                observed at all, as forward bins of a recording are not.
            inputs: (trial, input), known inputs of this bin; None for a model without.

        Returns:
            (trial, bin, neuron), rates in spikes/s or activity of the bins that are known with this one.

        Raises:
            InputError: The arrays' shapes don't fit the model.
        """
        external = self._inputs(inputs)
        seen = None if observed is None else self._course.see(self._bin(observed))
        if self._begun:
            return self._advance(seen, [external])
        self._waiting.append(external)
        if seen is not None:
            self._segment.append(seen)
        if len(self._segment) < self._course.segment:
            self.latest = {}
            return np.zeros((self._trials, 0, len(self.shape.neurons)), np.float32)
        self._course.begin(torch.stack(self._segment, dim=1))
        waiting, self._waiting, self._segment, self._begun = self._waiting, [], [], True
        return self._advance(None, waiting)

    def _advance(self, seen: Tensor | None, inputs: list[Tensor | None]) -> np.ndarray:
        """Run the dynamics over bins with these known inputs."""
        known = [each for each in inputs if each is not None]
        external = torch.stack(known, dim=1) if known else None
        inferred = self._course.advance(seen, external, len(inputs))
        expected = expected_of(self.model, self.shape.signal, self.shape.bin_width_s, inferred)
        signals = {"states": inferred.states, **inferred.signals, PREDICTION[self.shape.signal]: expected}
        self.latest = {name: values.numpy() for name, values in signals.items()}
        return self.latest[PREDICTION[self.shape.signal]]

    def _bin(self, observed: ArrayLike) -> Batch:
        data = self._array(observed, "observed", len(self.shape.neurons), "neurons")[:, None]
        return Batch.of({"data": data, "observed": data.isfinite(), "rows": torch.arange(self._trials)})

    def _inputs(self, inputs: ArrayLike | None) -> Tensor | None:
        size = self.shape.input_size
        if (inputs is None) != (size == 0):
            wanted = f"{size} known inputs in every bin" if size else "no known inputs"
            raise InputError(f"the model takes {wanted}, got {'none' if inputs is None else 'some'}")
        return None if inputs is None else self._array(inputs, "inputs", size, "input channels")

    def _array(self, values: ArrayLike, name: str, size: int, what: str) -> Tensor:
        array: np.ndarray[Any, Any] = np.asarray(values, np.float32)
        if array.shape != (self._trials, size):
            raise InputError(
                f"{name} of a bin are ({self._trials}, {size}), trials and {what}, got {array.shape}"
            )
        return torch.from_numpy(array)


def _course(model: LatentModel, shape: Shape, trials: int) -> Course:
    if isinstance(model, LFADS):
        return LFADSCourse(model, shape, trials)
    if isinstance(model, SequentialAutoencoder):
        return AutoencoderCourse(model, shape)
    raise InputError(
        f"a {type(model).__name__} can't be run while trials are running: fit a sequential autoencoder, "
        "model=lfads or model=band"
    )


def _one_session(saved: SavedModel, name: str | None) -> SavedModel:
    names = [shape.name for shape in saved.shapes]
    if name is None and len(names) == 1:
        return saved
    if name not in names:
        got = "" if name is None else f", got {name}"
        raise InputError(f"session is the name of a recording of the fit, one of {', '.join(names)}{got}")
    return saved.one_session(names.index(name))
