"""What a fitted LFADS does without its inferred inputs, or with those of a few bins alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch.nn import functional

from ctd_models_torch.base import Inferred, LatentModel
from ctd_models_torch.batch import Batch
from ctd_models_torch.derived.files import Source
from ctd_models_torch.errors import InputError
from ctd_models_torch.inference import signals_of
from ctd_models_torch.lfads.decoder_loop.decode import Decoded
from ctd_models_torch.lfads.model import LFADS


def ablate(source: Source, keep: Sequence[int] = ()) -> None:
    """Write what a fitted model infers without its inferred inputs, or with those of a few bins alone.

    Args:
        source: The model, the recording and the file to write.
        keep: As in `ablated`.

    Raises:
        InputError: There is no model in the folder, it infers no inputs, or the recording is none for it.

    Example:
        >>> ablate(Source("run", "recording.h5", "ablated.h5"))  # doctest: +SKIP
    """
    bins = ", ".join(map(str, keep))
    source.write(
        lambda model, data: lambda batch: signals_of(model, data, ablated(model, batch, keep)),
        suffix=f"with inferred inputs of bins {bins} alone" if keep else "without inferred inputs",
        settings={"ablation": {"keep": list(keep)}},
    )


def ablated(model: LatentModel, batch: Batch, keep: Sequence[int] = ()) -> Inferred:
    """Infer trials, then run the generator anew with zeros for inferred inputs outside some bins.

    The initial state and known inputs stay as they are, and so do the inferred inputs of the bins that are
    kept: the controller is not asked what it would do on the other course. (Zeroing the generator's input
    weights, as published for BAND, would take the known inputs away as well.)

    Args:
        model: LFADS or BAND of one recording, with a controller.
        batch: The trials.
        keep: Bins whose inferred inputs are kept: none for an ablation, one or a window for the response to a
            transient.

    Returns:
        As `LFADS.infer`; ``inferred_inputs`` are those that the generator received.

    Raises:
        InputError: The model infers no inputs, or a bin is not one of the trials'.
    """
    found = model.passed(batch) if isinstance(model, LFADS) else None
    if not isinstance(model, LFADS) or found is None or found.controls is None:
        raise InputError(
            "the model infers no inputs that could be taken away: fit model=lfads or model=band with "
            "model.controller.size above 0"
        )
    outside = [index for index in keep if not 0 <= index < batch.n_time]
    if outside:
        raise InputError(f"keep={outside[0]}: bins of this recording are 0 to {batch.n_time - 1}")
    kept = torch.zeros(batch.n_time, 1, dtype=torch.bool, device=batch.data.device)
    kept[list(keep)] = True
    controls = torch.where(kept, found.controls.mean, 0.0)
    drive = controls if batch.inputs is None else torch.cat([controls, batch.inputs], dim=2)
    states = model.decoder.generator(drive, found.state, batch.n_time)
    decoded = Decoded(states, functional.linear(states, model.decoder.factor_weight))
    inferred = model.inferred_of(replace(found, decoded=decoded, drive=drive), batch.lengths)
    return replace(inferred, signals=inferred.signals | {"inferred_inputs": controls})
