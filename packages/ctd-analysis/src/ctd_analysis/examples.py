"""A few trials with everything that is drawn of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ctd_analysis.results import ExampleTrials, Floats, Integers
from ctd_analysis.sources import Inference, Recording


def example_trials(recording: Recording, models: Mapping[str, Inference], trials: Integers) -> ExampleTrials:
    """Spikes, rates and inputs of some trials.

    Args:
        recording: The recording.
        models: Label -> inference.
        trials: Positions of the trials in the recording.
    """

    def known(name: str) -> Floats | None:
        return recording.signals[name].read(trials) if name in recording.signals else None

    def of_models(name: str) -> dict[str, Floats]:
        return {
            label: model.signals[name].read(trials)
            for label, model in models.items()
            if name in model.signals
        }

    file = recording.file
    shape = (len(trials), file.sizes["time"], file.sizes["neuron"])
    spikes = known("spikes")
    return ExampleTrials(
        trial=file.axis("trial")[trials],
        time_s=file.time,
        lengths=recording.lengths[trials],
        neuron=file.axis("neuron"),
        held_out=recording.session.held_out,
        spikes=np.zeros(shape) if spikes is None else spikes,
        true_rates=known("true_rates"),
        rates=of_models("rates"),
        inputs=known("inputs"),
        input_names=tuple(file.names("input") or ()) if "input" in file.sizes else (),
        inferred_inputs=of_models("inferred_inputs"),
        forward=recording.session.forward,
    )
