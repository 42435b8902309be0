"""``ctd-models-jax model=gru`` and ``model=lds``: fit a sequential autoencoder and write what it inferred."""

from __future__ import annotations

from functools import partial

from ctd_contract.command import Command, Run, RunFailed, UserError, progress
from ctd_models_jax import accelerator
from ctd_models_jax.autoencoder.config import FitConfig, GRUConfig, LDSConfig


def run(config: FitConfig, run: Run) -> None:
    """Fit the model that `config` describes and write ``inference.h5``."""
    accelerator.set_threads(config.threads)

    import jax
    import numpy as np

    from ctd_models_jax import recording
    from ctd_models_jax.autoencoder import SequentialAutoencoder, export
    from ctd_models_jax.training import NonFiniteLossError, Shuffled, fit

    try:
        data, splits, held_out = recording.load(config.data, config.model.inputs)
    except ValueError as error:
        raise UserError(str(error)) from error
    cell = run.config["model"]["name"]
    model = SequentialAutoencoder(
        held_in=tuple((~held_out).tolist()),
        inputs=data.inputs.shape[-1],
        cell=cell,
        units=config.model.units,
        encoder_units=config.model.encoder_units,
        dropout=config.model.dropout,
    )
    train, valid = (jax.tree.map(lambda a, s=s: a[splits[s]], data) for s in ("train", "valid"))
    mean_counts = train.counts.sum((0, 1)) / np.maximum(train.scored.sum((0, 1)), 1.0)
    key = jax.random.key(config.seed)
    params, trainable = model.initialize(key, mean_counts)
    try:
        with progress(config.training.epochs, f"fitting {cell}") as bar:
            result = fit(
                *(params, trainable),
                partial(model.loss, hidden_share=config.training.coordinated_dropout),
                Shuffled(len(train.counts), config.training.batch_size),
                stages=config.training.stages(),
                key=key,
                train=train,
                valid=valid,
                score=model.score,
                folder=run.folder,
                resume=run.resume,
                checkpoint_every=config.training.checkpoint_every,
                after_epoch=lambda figures: bar.advance(
                    train=float(figures["train/loss"]), valid=float(figures["valid/loss"])
                ),
            )
    except NonFiniteLossError as error:
        raise RunFailed(str(error)) from error
    export.write(
        *(run.result, config.data, model, result.params, data),
        name=config.name or f"sae_{cell}_jax",
        inputs=config.model.inputs,
        seed=config.seed,
        config=run.config,
    )


COMMAND = Command(
    name="ctd-models-jax",
    config=FitConfig,
    run=run,
    result="inference.h5",
    summary="fit a latent-dynamics model in JAX (here model=gru or lds; each model has settings of its own, "
    "which model=NAME --help shows)",
    example="ctd-models-jax model=gru data=recording.h5 training.epochs=100",
    groups={"model": {"gru": GRUConfig, "lds": LDSConfig}},
    choices={"model": "gru"},
    files=("data",),
)
