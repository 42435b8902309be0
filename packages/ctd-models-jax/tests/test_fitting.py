"""Fits of commands: their line of progress, and what stops being a number as a failed run."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from ctd_contract.command import Run, RunFailed
from ctd_models_jax.fitting import fit_run
from ctd_models_jax.settings import OneStageConfig
from ctd_models_jax.training import Shuffled


def squares(params, batch, *, key, step):
    return {"squares": jnp.mean((params["slope"] * batch) ** 2)}


def fitted(folder, learning_rate, *, resume=False):
    """The slope after so many steps towards 0."""
    training = OneStageConfig(steps=8, batch_size=4, learning_rate=learning_rate, warm_up=0.0)
    return fit_run(
        *(Run(folder, folder / "inference.h5", {}, "id", resume=resume), training),
        *({"slope": jnp.ones(())}, True, squares, Shuffled(8, 4)),
        key=jax.random.key(0),
        train=jnp.arange(1.0, 9.0),
        label="fitting a slope",
        figures={"squares": "train/squares"},
        count=2,
    )["slope"]


def test_a_fit_says_how_far_it_is_and_leaves_its_figures(tmp_path, capsys):
    assert 0 < float(fitted(tmp_path, 0.05)) < 1
    said = capsys.readouterr().err
    assert "fitting a slope 8/8" in said
    assert "squares" in said
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 5
    fitted(tmp_path, 0.05, resume=True)
    assert "fitting a slope 8/8" in capsys.readouterr().err


def test_what_stops_being_a_number_fails_the_run_by_its_name(tmp_path):
    with pytest.raises(RunFailed, match=r"train/squares.* not finite"):
        fitted(tmp_path, 1e38)
