"""``ctd-models-jax model=lfads_jslds``: fit LFADS with two generators and write a file of each."""

from __future__ import annotations

from pathlib import Path

from ctd_contract.command import Command, Run, UserError
from ctd_contract.command.sessions import file_names, write_index
from ctd_models_jax import accelerator
from ctd_models_jax.lfads_jslds.config import LFADSJSLDSConfig, LFADSJSLDSFitConfig
from ctd_models_jax.lfads_jslds.presets import PRESETS
from ctd_models_jax.origin import Origin
from ctd_models_jax.saved import read_notes, save

NAME = "lfads_jslds"


def run(config: LFADSJSLDSFitConfig, run: Run) -> None:
    """Fit the model that `config` describes, or apply a fitted one, and write a file of each generator."""
    accelerator.set_threads(config.threads)

    if config.predict is None:
        fit_and_write(config, run)
    else:
        predict(config, run)


def fit_and_write(config: LFADSJSLDSFitConfig, run: Run) -> None:
    """Fit to one recording or several; write two files for each, and of several ``sessions.json``."""
    from ctd_models_jax.fitting import fit_sessions
    from ctd_models_jax.lfads_jslds import Objective, export, prediction
    from ctd_models_jax.lfads_jslds.sessions import read_together

    training = config.training
    try:
        sessions = read_together(config.paths, config.model.inputs)
        identities = [one.identity for one in sessions]
        model = prediction.model_of(identities, config.model)
        prediction.check_bins(config.model, sessions[0])
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
    kept = {"settings": config.model, "family": model.family, "seed": config.seed}
    save(run, params, model=NAME, identities=identities, **kept)
    files = file_names([one.name for one in identities])
    origin = Origin(config.name or NAME, run.id, config.seed, run.config)
    for index, (session, file) in enumerate(zip(sessions, files, strict=True)):
        paths = (run.folder / network_file(file), run.folder / file)
        export.write(paths, session, index, model, params, origin)
    if len(sessions) > 1:
        pairs = zip(sessions, files, strict=True)
        write_index(run.folder, [one.row(file=file, network=network_file(file)) for one, file in pairs])


def predict(config: LFADSJSLDSFitConfig, run: Run) -> None:
    """Apply a fitted model to a recording of the neurons of one of its sessions."""
    from ctd_models_jax.lfads_jslds import export, prediction
    from ctd_models_jax.sessions import read, session_of

    path = Path(config.predict or "")
    notes = read_notes(path, NAME)
    try:
        model, params, identities = prediction.load(path, notes)
        session = read(config.paths[0], model.settings.inputs)
        index = session_of(identities, session, config.session)
        prediction.check_bins(model.settings, session)
    except ValueError as error:
        raise UserError(str(error)) from error
    origin = Origin(config.name or NAME, run.id, notes["seed"], notes["config"])
    paths = (run.result.with_name(network_file(run.result.name)), run.result)
    export.write(paths, session, index, model, params, origin)


def network_file(file: str) -> str:
    """The network's file beside the linear system's."""
    return f"{Path(file).stem}_rnn.h5"


COMMAND = Command(
    name="ctd-models-jax",
    config=LFADSJSLDSFitConfig,
    run=run,
    result=lambda config: config.result,
    summary=f"(model={NAME}) fit LFADS whose generator is accompanied by a switching linear system to "
    "one or several recordings, or apply a fitted one (predict=FOLDER)",
    example=f"ctd-models-jax model={NAME} data=recording.h5 training.steps=800",
    groups={"model": {NAME: LFADSJSLDSConfig}},
    choices={"model": NAME},
    presets=PRESETS,
    files=("data", "predict"),
)
