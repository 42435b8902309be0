import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from toys import small_config

from ctd_contract.testing import make_recording
from ctd_models_torch.config import FitConfig, ModelConfig
from ctd_models_torch.registry import MODELS

# As the package sets it, before Ray is imported.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
# The extra `ray` is not there for every platform and Python.
collect_ignore = [] if find_spec("ray") else ["test_search_ray.py"]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def recording(tmp_path_factory) -> Path:
    """40 trials of 15 bins, 8 neurons in 2 regions of which 2 are held out, 2 known inputs."""
    return make_recording(
        tmp_path_factory.mktemp("data") / "recording.h5", n_trials=40, n_time=15, n_regions=2
    )


@pytest.fixture(scope="session")
def ragged(tmp_path_factory) -> Path:
    """The same with trials of different lengths and 3 forward bins."""
    path = tmp_path_factory.mktemp("data") / "ragged.h5"
    return make_recording(path, n_trials=40, n_time=15, n_regions=2, lengths=True, n_forward=3)


@pytest.fixture
def small_fit() -> FitConfig:
    return FitConfig(max_epochs=3, batch_size=10, learning_rate=1e-2, accelerator="cpu", tensorboard=False)


@pytest.fixture(params=sorted(MODELS))
def model_config(request) -> ModelConfig:
    return small_config(request.param)


@pytest.fixture(params=sorted(set(MODELS) - {"smoother"}))
def dynamic_config(request) -> ModelConfig:
    """Settings of a model that has dynamics."""
    return small_config(request.param)
