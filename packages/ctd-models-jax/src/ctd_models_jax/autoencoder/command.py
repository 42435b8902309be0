"""``ctd-models-jax model=gru`` and ``model=lds``: fit a sequential autoencoder and write what it inferred."""

from __future__ import annotations

from functools import partial

from ctd_contract.command import Command, Run, UserError
from ctd_models_jax import accelerator
from ctd_models_jax.autoencoder.config import FitConfig, GRUConfig, LDSConfig
from ctd_models_jax.origin import Origin


def run(config: FitConfig, run: Run) -> None:
    """Fit the model that `config` describes and write ``inference.h5``."""
    accelerator.set_threads(config.threads)

    import jax

    from ctd_models_jax import recording
    from ctd_models_jax.autoencoder import SequentialAutoencoder, export
    from ctd_models_jax.fitting import fit_run
    from ctd_models_jax.training import Shuffled

    try:
        data = recording.load(config.data, config.model.inputs, signals=["spikes"])
        recording.require_splits(config.data, data)
    except ValueError as error:
        raise UserError(str(error)) from error
    cell = run.config["model"]["name"]
    model = SequentialAutoencoder(
        held_in=data.held_in,
        inputs=data.trials.inputs.shape[-1],
        cell=cell,
        units=config.model.units,
        encoder_units=config.model.encoder_units,
        dropout=config.model.dropout,
    )
    train, valid = data.of_split("train"), data.of_split("valid")
    key = jax.random.key(config.seed)
    params = fit_run(
        *(run, config.training, *model.initialize(key, recording.moments(train)[0])),
        partial(model.loss, hidden_share=config.training.coordinated_dropout),
        Shuffled(len(train.values), config.training.batch_size),
        key=key,
        train=train,
        valid=valid,
        score=model.score,
        label=f"fitting {cell}",
    )
    origin = Origin(config.name or f"sae_{cell}_jax", run.id, config.seed, run.config)
    export.write(run.result, config.data, model, params, data.trials, origin, inputs=config.model.inputs)


COMMAND = Command(
    name="ctd-models-jax",
    config=FitConfig,
    run=run,
    result="inference.h5",
    summary="fit a latent-dynamics model in JAX. These are the settings of model=gru and lds; jslds, "
    "lfads_jslds and mrsds have their own, which model=NAME --help shows",
    example="ctd-models-jax model=gru data=recording.h5 training.epochs=100",
    groups={"model": {"gru": GRUConfig, "lds": LDSConfig}},
    choices={"model": "gru"},
    files=("data",),
)
