"""``ctd-models-jax model=mrsds``: fit a switching model of several regions and write what it inferred."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctd_contract.command import Command, Run, RunFailed, UserError, progress
from ctd_models_jax import accelerator
from ctd_models_jax.mrsds.config import MRSDSConfig, MRSDSFitConfig

if TYPE_CHECKING:
    from ctd_models_jax.mrsds import MRSDS
    from ctd_models_jax.mrsds.data import Regions

_TOY = (
    *("model.states=[2]", "model.inputs=[inputs]", "model.dynamics.layers=[32,32]"),
    *("model.dynamics.activation=relu", "model.dynamics.communication=additive"),
    *("model.dynamics.output=next_state", "model.dynamics.input_networks=separate"),
    *("model.dynamics.input_layers=[]", "model.dynamics.noise=diagonal", "model.emissions.layers=[]"),
    *("model.mode_transitions.recurrence=states", "model.mode_transitions.layers=[]"),
    *("model.encoder.kind=transformer", "model.encoder.embedding=[8]", "model.encoder.units=32"),
    *("model.encoder.heads=3", "model.encoder.head_size=35", "model.encoder.feed_forward=4"),
    *("model.encoder.blocks=1", "model.encoder.layers=[32]", "model.dropout_trials=0"),
    *("training.batch_size=64", "training.steps=2001", "training.learning_rate=0.01"),
    *("training.warm_up=0.25", "training.start=0.001"),
)
# The settings of the published examples. Left out is what had no effect there (dropout in the encoder, L2,
# annealing) and what made up for covariances that were never trained: here they are, so the states' term
# needs no weight of 100 or 3000 (`training.beta_peak`). Gradients are bounded by their norm, since those of a
# mean over values never reach the published 10 in an entry.
PRESETS = {
    "toy": (*_TOY, "model.posterior=structured", "model.overshooting=10"),
    "toy_meanfield": (
        *(*_TOY, "model.posterior=mean_field", "model.mode_transitions.layers=[8]"),
        *("training.frozen_steps=3001", "training.frozen_warm_up=0.167"),
    ),
    "large": (
        *_TOY,
        *("model.posterior=structured", "model.overshooting=10", "model.smoothness=0.1"),
        "model.dynamics.by_mode=biases",
        *("model.dynamics.input_layers=[4]", "model.dynamics.input_activation=relu"),
        *("model.emissions.layers=[128,128]", "model.encoder.embedding=[20,10]"),
        *("model.encoder.head_size=50", "model.encoder.heads=10", "model.encoder.feed_forward=10"),
        *("model.encoder.blocks=2", "model.encoder.layers=[45]", "model.dropout_neurons=0.25"),
        *("model.dropout_trials=0.5", "training.steps=15001", "training.learning_rate=0.003"),
        *("training.warm_up=0.067", "training.start=0.0033"),
    ),
}


def run(config: MRSDSFitConfig, run: Run) -> None:
    """Fit the model that `config` describes and write ``inference.h5``."""
    accelerator.set_threads(config.threads)

    from functools import partial

    import equinox as eqx
    import jax

    from ctd_models_jax.mrsds import data, export
    from ctd_models_jax.training import NonFiniteLossError, Shuffled, fit

    try:
        recording = data.load(config.data, config.model.inputs)
        model = build(config.model, recording)
    except ValueError as error:
        raise UserError(str(error)) from error
    train, valid = (
        jax.tree.map(lambda a, s=s: a[recording.splits[s]], recording.trials) for s in ("train", "valid")
    )
    start_key, fit_key = jax.random.split(jax.random.key(config.seed))
    params, trainable = eqx.filter_jit(model.initialize)(start_key, *data.moments(train))
    batches = Shuffled(len(train.values), config.training.batch_size)
    stages = config.training.stages()
    try:
        with progress(sum(stage.length(batches.steps) for stage in stages), "fitting mrsds") as bar:
            result = fit(
                *(params, trainable),
                partial(model.loss, **config.training.weights()),
                batches,
                stages=stages,
                key=fit_key,
                train=train,
                valid=valid,
                score=model.score,
                monitor=model.monitor,
                folder=run.folder,
                resume=run.resume,
                checkpoint_every=config.training.checkpoint_every,
                after_epoch=lambda figures: bar.advance(
                    train=float(figures["train/loss"]), valid=float(figures["valid/loss"])
                ),
            )
    except NonFiniteLossError as error:
        raise RunFailed(str(error)) from error
    origin = export.Origin(config.name or "mrsds", run.id, config.seed, run.config)
    from_mean = config.message_reference == "mean"
    given = (model, result.params, recording.trials, origin)
    export.write(run.result, config.data, *given, count_from_mean=from_mean, ahead=config.forecasts)


def build(settings: MRSDSConfig, recording: Regions) -> MRSDS:
    """The model that settings describe, for the neurons and inputs of a recording.

    Raises:
        ValueError: The settings don't fit the recording.
    """
    from ctd_models_jax.mrsds import MRSDS

    family = settings.emissions.family or ("poisson" if recording.signal == "spikes" else "gaussian")
    if (family != "gaussian") != (recording.signal == "spikes"):
        raise ValueError(f"model.emissions.family={family} can't describe {recording.signal}")
    if family == "gaussian" and settings.emissions.noise == "full" and recording.partial:
        raise ValueError(
            "model.emissions.noise=full needs bins whose neurons were all observed, or none: use diagonal"
        )
    inputs = recording.trials.inputs.shape[-1]
    return MRSDS(recording.neuron_regions, recording.held_in, inputs, family, settings)


COMMAND = Command(
    name="ctd-models-jax",
    config=MRSDSFitConfig,
    run=run,
    result="inference.h5",
    summary="(model=mrsds) fit a dynamical system of regions that talk to each other, in several modes",
    example="ctd-models-jax model=mrsds data=recording.h5 model.modes=2",
    groups={"model": {"mrsds": MRSDSConfig}},
    choices={"model": "mrsds"},
    presets=PRESETS,
    files=("data",),
)
