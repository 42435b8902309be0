"""A small search that tests share."""

from pathlib import Path

from ctd_models_torch.config import FitConfig, LinearReadoutConfig, RecordingConfig
from ctd_models_torch.lfads.config import (
    ControllerConfig,
    InitialEncoderConfig,
    KLConfig,
    L2Config,
    LFADSConfig,
    RampConfig,
)
from ctd_models_torch.search.config import RangeConfig, SearchConfig, StopConfig
from ctd_models_torch.search.search import search
from ctd_models_torch.search.space import Settings, Space
from ctd_models_torch.search.trainee import Task

RANGES = [
    RangeConfig("training.learning_rate", 1e-3, 2e-2, "log_uniform"),
    RangeConfig("training.weight_decay", 1e-3, 1e-1, "log_uniform", weight=0.8, enforce=False),
    RangeConfig("model.dropout", 0.05, 0.6),
    RangeConfig("model.coordinated_dropout", 0.1, 0.6),
    RangeConfig("model.kl.controls", 0.1, 1.0, "log_uniform"),
    RangeConfig("model.kl.initial_condition", 0.1, 1.0, "log_uniform"),
    RangeConfig("model.l2.generator", 0.1, 1.0, "log_uniform"),
]


def small_lfads() -> LFADSConfig:
    return LFADSConfig(
        size=4,
        factors=3,
        initial_condition=3,
        encoder=InitialEncoderConfig(size=4),
        controller=ControllerConfig(size=4, controls=2, encoder_size=3),
        kl=KLConfig(ramp=RampConfig(increase=3)),
        l2=L2Config(ramp=RampConfig(increase=2)),
    )


def small_training(**changes) -> FitConfig:
    settings = {"max_epochs": 5, "batch_size": 14, "accelerator": "cpu", "optimizer": "adamw"}
    settings |= {"schedule": "constant", "warmup": 0.0, "smoothing": 0.3}
    settings |= {"tensorboard": False, "figure_interval": None}
    return FitConfig(**settings | changes)


def small_settings(**changes) -> Settings:
    return Settings(small_lfads(), LinearReadoutConfig(), small_training(**changes))


def small_task(recording: Path, monitor: str = "loss", **changes) -> Task:
    return Task((str(recording),), small_settings(**changes), RecordingConfig(), monitor)


def small_space(settings: Settings, ranges=RANGES, seed: int = 0) -> Space:
    return Space.of(ranges, settings, seed)


def small_search(**changes) -> SearchConfig:
    settings = {"population": 4, "generation_epochs": 1, "burn_in_epochs": 2, "space": RANGES}
    return SearchConfig(**settings | {"stop": StopConfig(ratio=None)} | changes)


def run_search(recording, folder, *, resume: bool = False, training=None, **changes):
    """A search of four members and five generations; it goes on where one was begun if asked to."""
    return search(
        recording,
        folder,
        model=small_lfads(),
        training=training or small_training(),
        settings=small_search(**changes),
        seed=3,
        resume=resume,
    )
