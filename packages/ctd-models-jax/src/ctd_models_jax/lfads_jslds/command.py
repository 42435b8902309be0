"""``ctd-models-jax model=lfads_jslds``: fit LFADS with two generators and write a file of each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ctd_contract.command import Command, Run, RunFailed, UserError, progress
from ctd_models_jax import accelerator
from ctd_models_jax.lfads_jslds.config import LFADSJSLDSConfig, LFADSJSLDSFitConfig
from ctd_models_jax.lfads_jslds.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ctd_models_jax.lfads_jslds import LFADSJSLDS
    from ctd_models_jax.lfads_jslds.data import Session

RESULT = "inference.h5"
# Of several recordings: the list of their files, written last.
INDEX = "sessions.json"
NAME = "lfads_jslds"


def run(config: LFADSJSLDSFitConfig, run: Run) -> None:
    """Fit the model that `config` describes; write a file of each generator for each recording."""
    accelerator.set_threads(config.threads)

    import equinox as eqx
    import jax

    from ctd_models_jax import checkpoint
    from ctd_models_jax.lfads_jslds import Objective, export
    from ctd_models_jax.lfads_jslds.data import load_sessions
    from ctd_models_jax.mrsds.data import moments
    from ctd_models_jax.training import NonFiniteLossError, ShuffledSets, fit

    training = config.training
    try:
        sessions = load_sessions(config.paths(), config.model.inputs)
        model = build(config.model, sessions)
    except ValueError as error:
        raise UserError(str(error)) from error
    train, valid = (
        [jax.tree.map(lambda a, rows=one.splits[split]: a[rows], one.trials) for one in sessions]
        for split in ("train", "valid")
    )
    start_key, fit_key = jax.random.split(jax.random.key(config.seed))
    means, stds = zip(*map(moments, train), strict=True)
    params, trainable = eqx.filter_jit(model.initialize)(start_key, means, stds)
    objective = Objective(model, training.coordinated_dropout, per_trial=training.loss_per == "trial")
    batches = ShuffledSets(tuple(len(trials.values) for trials in train), training.batch_size)
    stages = training.stages()
    try:
        with progress(stages[0].length(batches.steps), f"fitting {NAME}") as bar:
            result = fit(
                *(params, trainable, objective.loss, batches),
                stages=stages,
                key=fit_key,
                train=train,
                valid=valid,
                score=objective.score,
                monitor="loss",
                folder=run.folder,
                resume=run.resume,
                checkpoint_every=training.checkpoint_every,
                after_epoch=lambda figures: bar.advance(
                    train=float(figures["train/loss"]), valid=float(figures["valid/loss"])
                ),
            )
    except NonFiniteLossError as error:
        raise RunFailed(str(error)) from error
    checkpoint.save(run.folder / "model.safetensors", result.params)
    origin = export.Origin(config.name or NAME, run.id, config.seed, run.config)
    names = file_names([session.name for session in sessions])
    for index, (session, files) in enumerate(zip(sessions, names, strict=True)):
        paths = (run.folder / files[0], run.folder / files[1])
        export.write(paths, session, index, model, result.params, origin)
    if len(sessions) > 1:
        rows = [
            {"name": one.name, "file": files[1], "network": files[0], "digest": one.digest}
            for one, files in zip(sessions, names, strict=True)
        ]
        partial = run.result.with_suffix(".partial")
        partial.write_text(json.dumps({"sessions": rows}, indent=1))
        partial.replace(run.result)


def build(settings: LFADSJSLDSConfig, sessions: Sequence[Session]) -> LFADSJSLDS:
    """The model that settings describe, for the neurons and inputs of recordings.

    Raises:
        ValueError: The settings don't fit the recordings.
    """
    from ctd_models_jax.lfads_jslds import LFADSJSLDS

    first = sessions[0]
    family = settings.family or ("poisson" if first.signal == "spikes" else "gaussian")
    if (family == "poisson") != (first.signal == "spikes"):
        raise ValueError(f"model.family={family} can't describe {first.signal}")
    n_time, bins = first.trials.values.shape[1], settings.encoder.bins
    if settings.controls and bins is not None and bins >= n_time:
        raise ValueError(
            f"model.encoder.bins={bins} leaves the controller none of {n_time} bins: take fewer, or null"
        )
    return LFADSJSLDS(tuple(one.held_in for one in sessions), first.trials.inputs.shape[-1], family, settings)


def file_names(sessions: Sequence[str]) -> list[tuple[str, str]]:
    """Names of the files of each recording: the network's, and the linear system's."""
    if len(sessions) == 1:
        return [("inference_rnn.h5", RESULT)]
    return [(f"inference_{name}_rnn.h5", f"inference_{name}.h5") for name in sessions]


COMMAND = Command(
    name="ctd-models-jax",
    config=LFADSJSLDSFitConfig,
    run=run,
    result=lambda config: INDEX if len(config.paths()) > 1 else RESULT,
    summary=f"(model={NAME}) fit LFADS whose generator is accompanied by a switching linear system",
    example=f"ctd-models-jax model={NAME} data=recording.h5 training.steps=800",
    groups={"model": {NAME: LFADSJSLDSConfig}},
    choices={"model": NAME},
    presets=PRESETS,
    files=("data",),
)
