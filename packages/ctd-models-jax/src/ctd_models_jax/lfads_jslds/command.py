"""``ctd-models-jax model=lfads_jslds``: fit LFADS with two generators and write a file of each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ctd_contract.command import Command, Run, UserError
from ctd_contract.command.sessions import INDEX, RESULT, file_names, listed, write_index
from ctd_models_jax import accelerator
from ctd_models_jax.lfads_jslds.config import LFADSJSLDSConfig, LFADSJSLDSFitConfig
from ctd_models_jax.lfads_jslds.presets import PRESETS
from ctd_models_jax.origin import Origin
from ctd_models_jax.saved import FILE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ctd_models_jax.lfads_jslds import LFADSJSLDS
    from ctd_models_jax.sessions import Session

NAME = "lfads_jslds"


def run(config: LFADSJSLDSFitConfig, run: Run) -> None:
    """Fit the model that `config` describes; write a file of each generator for each recording."""
    accelerator.set_threads(config.threads)

    from ctd_models_jax import checkpoint
    from ctd_models_jax.fitting import fit_sessions
    from ctd_models_jax.lfads_jslds import Objective, export
    from ctd_models_jax.lfads_jslds.sessions import read_together

    training = config.training
    try:
        sessions = read_together(listed(config.data), config.model.inputs)
        model = build(config.model, sessions)
    except ValueError as error:
        raise UserError(str(error)) from error
    objective = Objective(model, training.coordinated_dropout, per_trial=training.loss_per == "trial")
    params = fit_sessions(
        *(run, training, sessions, model.initialize, objective.loss),
        score=objective.score,
        monitor="loss",
        seed=config.seed,
        label=f"fitting {NAME}",
    )
    checkpoint.save(run.folder / FILE, params)
    files = file_names([one.identity.name for one in sessions])
    origin = Origin(config.name or NAME, run.id, config.seed, run.config)
    for index, (session, file) in enumerate(zip(sessions, files, strict=True)):
        paths = (run.folder / network_file(file), run.folder / file)
        export.write(paths, session, index, model, params, origin)
    if len(sessions) > 1:
        pairs = zip(sessions, files, strict=True)
        write_index(run.folder, [one.row(file=file, network=network_file(file)) for one, file in pairs])


def build(settings: LFADSJSLDSConfig, sessions: Sequence[Session]) -> LFADSJSLDS:
    """The model that settings describe, for the neurons and inputs of recordings.

    Raises:
        ValueError: The settings don't fit the recordings.
    """
    from ctd_models_jax.lfads_jslds import LFADSJSLDS

    first = sessions[0].recording
    family = settings.family or ("poisson" if first.signal == "spikes" else "gaussian")
    if (family == "poisson") != (first.signal == "spikes"):
        raise ValueError(f"model.family={family} can't describe {first.signal}")
    n_time, bins = first.trials.values.shape[1], settings.encoder.bins
    if settings.controls and bins is not None and bins >= n_time:
        raise ValueError(
            f"model.encoder.bins={bins} leaves the controller none of {n_time} bins: take fewer, or null"
        )
    held_in = tuple(one.recording.held_in for one in sessions)
    return LFADSJSLDS(held_in, first.trials.inputs.shape[-1], family, settings)


def network_file(file: str) -> str:
    """The network's file beside the linear system's."""
    return f"{Path(file).stem}_rnn.h5"


COMMAND = Command(
    name="ctd-models-jax",
    config=LFADSJSLDSFitConfig,
    run=run,
    result=lambda config: INDEX if len(listed(config.data)) > 1 else RESULT,
    summary=f"(model={NAME}) fit LFADS whose generator is accompanied by a switching linear system",
    example=f"ctd-models-jax model={NAME} data=recording.h5 training.steps=800",
    groups={"model": {NAME: LFADSJSLDSConfig}},
    choices={"model": NAME},
    presets=PRESETS,
    files=("data",),
)
