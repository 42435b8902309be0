"""Which model's command runs, and on which device."""

from __future__ import annotations

import os
import subprocess
import sys

import jax
import pytest

from ctd_models_jax import accelerator, cli


@pytest.fixture
def _other(monkeypatch):
    monkeypatch.setitem(cli.MODELS, "other", "ctd_models_jax.other.command")


@pytest.mark.usefixtures("_other")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model=othr"], "there is no model 'othr' (did you mean 'other'?)"),
        (["-m", "model=gru,other"], "these models have different settings"),
        (["-m", "model=gru,ldss"], "there is no model 'ldss' (did you mean 'lds'?)"),
    ],
)
def test_an_unknown_model_is_a_sentence(arguments, words, capsys):
    assert cli.COMMAND.invoke(arguments) == 2
    assert words in capsys.readouterr().err


def test_help_names_every_model(capsys):
    assert cli.COMMAND.invoke(["--help"]) == 0
    shown = capsys.readouterr().out
    assert not [name for name in cli.MODELS if name not in shown]


def test_models_of_one_family_share_a_command():
    assert cli.chosen([]) is cli.chosen(["model=gru,lds"]) is cli.chosen(["seed=1", "model=lds"])


@pytest.mark.parametrize(
    ("plugin", "driver", "given", "expected"),
    [
        (False, False, None, None),
        (True, True, None, None),
        (True, False, None, "cpu"),
        (True, False, "cuda", "cuda"),
    ],
)
def test_without_a_driver_the_cuda_plugin_is_left_alone(monkeypatch, plugin, driver, given, expected):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    if given:
        monkeypatch.setenv("JAX_PLATFORMS", given)
    monkeypatch.setattr(accelerator.importlib.util, "find_spec", lambda name: object() if plugin else None)
    monkeypatch.setattr(accelerator, "has_cuda_driver", lambda: driver)
    before = jax.config.jax_platforms
    try:
        accelerator.leave_cuda_without_driver()
        assert jax.config.jax_platforms == (expected if expected == "cpu" else before)
    finally:
        jax.config.update("jax_platforms", before)
    assert os.environ.get("JAX_PLATFORMS") == expected


def test_threads_are_set_before_scipy_is_loaded():
    """Whose LAPACK would share each small matrix between threads that wait for each other."""
    code = """
import os, sys
from ctd_models_jax import accelerator, cli
from ctd_models_jax.mrsds import command
assert "scipy" not in sys.modules
accelerator.set_threads(2)
print(os.environ["NPROC"], os.environ["OPENBLAS_NUM_THREADS"])
"""
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "1"]
