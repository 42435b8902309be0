"""The command ctd-models-jax: fit a model to a recording and write what it inferred."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from ctd_contract.command import Command, Run, UserError, progress
from ctd_models_jax.config import FitConfig, GRUConfig, LDSConfig

if TYPE_CHECKING:
    from ctd_contract.command.progress import Progress
    from ctd_models_jax.training import State

MODELS = {"gru": GRUConfig, "lds": LDSConfig}
CHECKPOINT = "checkpoints/last.safetensors"


def run(config: FitConfig, run: Run) -> None:
    """Fit the model that `config` describes and write ``inference.h5``."""
    os.environ["NPROC"] = str(config.threads)  # what XLA's CPU client takes the size of its thread pool from

    import jax
    import numpy as np

    from ctd_models_jax import export, recording, training
    from ctd_models_jax.autoencoder import SequentialAutoencoder

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
    params, trainable = model.initialize(jax.random.key(config.seed), mean_counts)
    log = Log(config, run)
    with progress(config.training.epochs, f"fitting {cell}") as bar:
        best = training.fit(
            *(params, trainable, model.loss, train, valid),
            config=config.training,
            seed=config.seed,
            resumed=log.resumed,
            after_epoch=partial(log.after_epoch, bar),
        )
    export.write(
        *(run.result, config.data, model, best, data),
        name=config.name or f"sae_{cell}_jax",
        inputs=config.model.inputs,
        seed=config.seed,
        config=run.config,
    )


class Log:
    """Writes metrics.csv and the checkpoints of a run, and reads them back."""

    def __init__(self, config: FitConfig, run: Run) -> None:
        self.config, self.run = config, run
        self.metrics = run.folder / "metrics.csv"
        self.checkpoint = run.folder / CHECKPOINT
        self.checkpoint.parent.mkdir(exist_ok=True)
        self.rows: list[str] = []

    def resumed(self, state: State) -> State:
        """The state of the last checkpoint, if the run is to go on from one."""
        from ctd_models_jax import checkpoint

        if not (self.run.resume and self.checkpoint.exists()):
            self.metrics.write_text("epoch,train_loss,valid_loss\n")
            return state
        state = checkpoint.load(self.checkpoint, state)
        kept = self.metrics.read_text().splitlines()[: 1 + int(state.epoch)]
        self.metrics.write_text("".join(f"{line}\n" for line in kept))
        return state

    def after_epoch(self, bar: Progress, state: State, metrics: dict[str, float]) -> None:
        """Note an epoch's figures; every few epochs save all that training carries."""
        from ctd_models_jax import checkpoint

        epoch, training = int(state.epoch), self.config.training
        self.rows.append(f"{epoch},{metrics['train_loss']:.8g},{metrics['valid_loss']:.8g}\n")
        if epoch % training.checkpoint_every == 0 or epoch == training.epochs:
            with self.metrics.open("a") as file:
                file.writelines(self.rows)
            self.rows.clear()
            checkpoint.save(self.checkpoint, state)
        bar.advance(1, **metrics)


COMMAND = Command(
    name="ctd-models-jax",
    config=FitConfig,
    run=run,
    result="inference.h5",
    summary="fit a latent-dynamics model to a recording, in JAX",
    example="ctd-models-jax model=gru data=recording.h5 training.epochs=100",
    groups={"model": MODELS},
    choices={"model": "gru"},
    files=("data",),
)


def main() -> None:
    """Entry point of the command."""
    COMMAND.main()
