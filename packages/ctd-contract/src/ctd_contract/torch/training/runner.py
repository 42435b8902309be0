"""Trains a module with Lightning: metrics, checks, checkpoints, stopping, exact resume."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor

from ctd_contract.command.progress import progress
from ctd_contract.torch.batches import Batches
from ctd_contract.torch.checkpoint import load_checkpoint
from ctd_contract.torch.training.checkpoint_io import SafeCheckpointIO
from ctd_contract.torch.training.config import TrainingConfig
from ctd_contract.torch.training.keeper import Keeper
from ctd_contract.torch.training.module import NonFiniteLossError, TrainingModule


@dataclass(frozen=True)
class FitResult:
    """Outcome of a training run.

    Attributes:
        best_checkpoint: Of the check with the best monitored score.
        last_checkpoint: Of the last check.
        epochs: Epochs done.
        best_epoch: Epoch of the best check, from 1.
        best_score: Its monitored score, smoothed if asked for.
        reason: Why training ended.
    """

    best_checkpoint: Path
    last_checkpoint: Path
    epochs: int
    best_epoch: int
    best_score: float
    reason: str


def fit(
    module: TrainingModule,
    train_batches: Batches,
    valid_batches: Batches,
    *,
    folder: str | Path,
    config: TrainingConfig,
    monitor: str = "valid/loss",
    mode: str = "min",
    seed: int = 0,
    resume: bool = False,
    label: str = "training",
    callbacks: Sequence[lightning.Callback] = (),
) -> FitResult:
    """Train a module; afterwards it holds the weights of the best check.

    The folder gets ``metrics.csv``, TensorBoard logs and ``checkpoints/last.safetensors`` and
    ``checkpoints/best.safetensors``. A run that was interrupted and continued with ``resume`` ends with the
    same weights, bit by bit, as one that was not, on the same machine with the same number of threads.

    Args:
        module: What is trained.
        train_batches: Batches of training trials, in an order of their own for each epoch.
        valid_batches: Batches of validation trials.
        folder: Run folder.
        config: Settings.
        monitor: Metric that stopping and the best checkpoint go by: ``valid/<score>``, ``train/<term>`` or
            ``train/loss``.
        mode: ``"min"`` or ``"max"``: what is good.
        seed: Of every stream drawn in training.
        resume: Continue from the last checkpoint in the folder, if there is one; otherwise what is there is
            written over.
        label: Name on the progress line.
        callbacks: Further Lightning callbacks, say for figures.

    Returns:
        Where the best weights are, and why training ended.

    Raises:
        NonFiniteLossError: A loss term or a parameter became non-finite; the checkpoints are those before it.
        ValueError: A setting out of range, or ``resume`` with settings other than the interrupted run's.
    """
    config.check()
    if mode not in ("min", "max"):
        raise ValueError(f"mode is 'min' or 'max', got {mode!r}")
    folder = Path(folder)
    module.seed, module.settings = seed, config
    last, best = (folder / "checkpoints" / f"{name}.safetensors" for name in ("last", "best"))
    keeper = Keeper(folder, config, monitor, mode, seed)
    done = _prepare(keeper, last, best, resume)
    if not done:
        with _quiet(), progress(config.checked_epochs, label) as keeper.bar:
            trainer = _trainer(keeper, folder, config, callbacks)
            loaders = _Loader(train_batches, module), _Loader(valid_batches, module)
            try:
                trainer.fit(module, *loaders, ckpt_path=str(last) if keeper.start else None)
            except NonFiniteLossError as error:
                good = (
                    f"the last good checkpoint is {last}"
                    if last.is_file()
                    else "there was no checkpoint before it"
                )
                raise NonFiniteLossError(f"{error}; {good}") from error
            except SystemExit:  # what Lightning makes of an interrupt
                raise KeyboardInterrupt from None
    state = keeper.monitor
    if state.best_score is None:
        raise NonFiniteLossError(f"{monitor} was not finite in any check of {keeper.epochs} epochs")
    module.load_state_dict(load_checkpoint(best)["state_dict"])
    return FitResult(best, last, keeper.epochs, state.best_epoch, state.best_score, state.reason)


def _prepare(keeper: Keeper, last: Path, best: Path, resume: bool) -> bool:
    """Set up a fresh or a continued run; return whether there is nothing left to do."""
    if not (resume and last.is_file()):
        for path in (last, best):
            path.unlink(missing_ok=True)
        return False
    state = load_checkpoint(last)["callbacks"][keeper.state_key]
    keeper.load_state_dict(state)
    keeper.start = keeper.epochs
    finished = keeper.monitor.reason
    return bool(finished) and not (
        finished == "all epochs done" and keeper.config.checked_epochs > keeper.epochs
    )


def _trainer(
    keeper: Keeper, folder: Path, config: TrainingConfig, callbacks: Sequence[lightning.Callback]
) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator=config.accelerator,
        devices=1,
        precision=config.precision,  # type: ignore[arg-type]
        max_epochs=config.checked_epochs,
        gradient_clip_val=config.gradient_clip,
        check_val_every_n_epoch=min(config.check_interval, config.max_epochs),
        callbacks=[*callbacks, keeper],
        logger=_loggers(folder, config),
        # One plain process: on a cluster node Lightning would otherwise read the scheduler's variables.
        plugins=[LightningEnvironment(), SafeCheckpointIO()],
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        inference_mode=False,
        default_root_dir=folder,
    )


def _loggers(folder: Path, config: TrainingConfig) -> list[Any]:
    loggers: list[Any] = []
    if config.tensorboard:
        from pytorch_lightning.loggers import TensorBoardLogger

        loggers.append(TensorBoardLogger(folder, name="", version="tensorboard"))
    if config.wandb:
        from pytorch_lightning.loggers import WandbLogger

        loggers.append(WandbLogger(project=config.wandb, save_dir=folder))
    return loggers


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's banners, tips and advice about loaders out of the user's sight."""
    names = ("pytorch_lightning", "lightning_fabric", "pytorch_lightning.utilities.rank_zero")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"pytorch_lightning\.|lightning_fabric\.")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _Loader:
    """Gives Lightning the batches of the current epoch."""

    def __init__(self, batches: Batches, module: TrainingModule) -> None:
        self.batches, self.module = batches, module

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        # The epoch is read at the first batch: a resumed run makes the iterator before it counts the epoch.
        yield from self.batches.epoch(self.module.current_epoch, self.module.device)
