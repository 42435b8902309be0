"""Files of the computation-through-dynamics benchmark."""

import h5py
import numpy as np
import pytest

import ctd_contract as cc
from ctd_contract.convert import convert, detect
from ctd_contract.validation import validate

STATES, NEURONS, HELD_IN = 4, 8, 6


def task_file(path, nonlinearity=np.exp, permute=False):
    """As the published simulator writes: permuted copies of states, one standardisation, exp, Poisson."""
    rng = np.random.default_rng(0)
    states = rng.normal(size=(50, 12, STATES))
    permutation = np.arange(NEURONS) % STATES
    readout = np.eye(STATES)[:, permutation]
    drive = states @ readout
    mean, std = drive.mean(), drive.std()
    activity = nonlinearity((drive - mean) / (2 * std))
    order = rng.permutation(NEURONS) if permute else np.arange(NEURONS)
    activity = activity[:, :, order]
    spikes = rng.poisson(activity).astype(float)
    inputs = rng.normal(size=(50, 12, 3))
    with h5py.File(path, "w") as file:
        for split, rows in (("train", slice(0, 40)), ("valid", slice(40, 50))):
            file[f"{split}_encod_data"] = spikes[rows, :, :HELD_IN]
            file[f"{split}_recon_data"] = spikes[rows]
            file[f"{split}_inputs"] = inputs[rows]
            file[f"{split}_activity"] = activity[rows]
            file[f"{split}_latents"] = states[rows]
            file[f"{split}_inds"] = np.arange(50)[rows] + 7
            file[f"{split}_extra"] = np.stack([np.arange(50.0), -np.arange(50.0)], axis=1)[rows]
        file["readout"], file["orig_mean"], file["orig_std"] = (
            readout,
            np.full((1, 1, 1), mean),
            np.full((1, 1, 1), std),
        )
        file["perm_neurons"] = order
    return spikes, activity, states, inputs


@pytest.mark.parametrize("permute", [False, True])
def test_task_trained_file(tmp_path, permute):
    spikes, activity, states, inputs = task_file(tmp_path / "a.h5", permute=permute)
    assert detect(tmp_path / "a.h5") == "ctdb"
    convert(tmp_path / "a.h5", tmp_path / "b.h5")
    assert validate(tmp_path / "b.h5") == []
    with cc.open(tmp_path / "b.h5") as file:
        np.testing.assert_array_equal(file.signals["spikes"][:], spikes)
        np.testing.assert_allclose(file.signals["inputs"][:], inputs, rtol=1e-6)
        np.testing.assert_allclose(file.truth["states"][:], states, rtol=1e-6)
        np.testing.assert_allclose(file.truth["rates"][:] * 0.01, activity, rtol=1e-6)
        np.testing.assert_array_equal(file.axis("trial"), np.arange(50) + 7)
        np.testing.assert_array_equal(file.tables["trials"]["extra_1"], -np.arange(50.0))
        np.testing.assert_array_equal(file.held_out, np.arange(NEURONS) >= HELD_IN)
        np.testing.assert_array_equal(np.flatnonzero(file.split("test")), np.arange(40, 50))
        readout = file.truth_readout()
        np.testing.assert_allclose(readout.evaluate(states) * 0.01, activity, rtol=1e-5)


def test_a_readout_that_isnt_exp_is_opaque(tmp_path):
    task_file(tmp_path / "a.h5", nonlinearity=lambda x: np.log1p(np.exp(x)))
    convert(tmp_path / "a.h5", tmp_path / "b.h5", bin_width_s=0.005)
    with cc.open(tmp_path / "b.h5") as file:
        assert file.truth_readout().is_opaque
        assert file.bin_width_s == 0.005


def test_chaotic_file_has_three_splits_of_its_own(tmp_path):
    rng = np.random.default_rng(1)
    states = rng.normal(size=(30, 7, 3))
    readout = rng.uniform(-0.5, 0.5, (3, 5))
    drive = states @ readout
    activity = np.exp((drive - drive.mean((0, 1))) / drive.std((0, 1)))
    spikes = rng.poisson(activity)
    rows = {"train": slice(0, 20), "valid": slice(20, 25), "test": slice(25, 30)}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for split, chosen in rows.items():
            file[f"{split}_data"], file[f"{split}_activity"] = spikes[chosen], activity[chosen]
            file[f"{split}_latents"], file[f"{split}_inds"] = states[chosen], np.arange(30)[chosen]
            file[f"{split}_times"] = np.arange(210.0).reshape(30, 7)[chosen]
        file["readout"] = readout
    convert(tmp_path / "a.h5", tmp_path / "b.h5")
    assert validate(tmp_path / "b.h5") == []
    with cc.open(tmp_path / "b.h5") as file:
        for split, chosen in rows.items():
            np.testing.assert_array_equal(np.flatnonzero(file.split(split)), np.arange(30)[chosen])
        np.testing.assert_array_equal(file.tables["trials"]["system_start"], 7.0 * np.arange(30))
        assert not file.held_out.any()
        np.testing.assert_allclose(file.truth_readout().evaluate(states) * 0.01, activity, rtol=1e-5)
