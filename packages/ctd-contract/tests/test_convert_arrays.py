"""`.npz` and `.mat` files of trial arrays."""

import gc
import sys

import h5py
import numpy as np
import pytest
from scipy.io import savemat

import ctd_contract as cc
from ctd_contract.convert import convert
from ctd_contract.validation import validate

RNG = np.random.default_rng(0)
SPIKES = RNG.poisson(1.0, (40, 12, 5)).astype(np.uint8)
RATES = RNG.uniform(50, 150, SPIKES.shape)
INPUTS = RNG.normal(size=(40, 12, 2))


def converted(source, tmp_path, **options):
    convert(source, tmp_path / "out.h5", overwrite=True, **options)
    assert validate(tmp_path / "out.h5") == []
    return cc.open(tmp_path / "out.h5")


def savez(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_contract_names(tmp_path):
    split = np.array(["train", "test", "valid", "train"] * 10)
    source = savez(
        tmp_path / "a.npz", spikes=SPIKES, inputs=INPUTS, truth_rates=RATES, split=split,
        trial=np.arange(40) * 3, neuron=[4, 5, 6, 7, 9], held_out=[0, 0, 1, 0, 1],
        forward=np.arange(12) > 9, condition=np.arange(40) % 2, time=-0.1 + 0.02 * np.arange(12),
    )  # fmt: skip
    with converted(source, tmp_path) as file:
        np.testing.assert_array_equal(file.signals["spikes"][:], SPIKES)
        np.testing.assert_allclose(file.signals["inputs"][:], INPUTS, rtol=1e-6)
        np.testing.assert_allclose(file.truth["rates"][:], RATES, rtol=1e-6)
        np.testing.assert_array_equal(file.tables["trials"]["split"], [0, 2, 1, 0] * 10)
        np.testing.assert_array_equal(file.axis("trial"), np.arange(40) * 3)
        np.testing.assert_array_equal(file.axis("neuron"), [4, 5, 6, 7, 9])
        np.testing.assert_array_equal(file.held_out, [False, False, True, False, True])
        np.testing.assert_array_equal(np.flatnonzero(file.forward), [10, 11])
        assert file.names("condition") == ["condition 0", "condition 1"]
        np.testing.assert_allclose(file.time, -0.1 + 0.02 * np.arange(12), atol=1e-12)
        assert file.bin_width_s == pytest.approx(0.02)


def test_mrsds_names(tmp_path):
    """Continuous observations of two regions, with inputs and true latents and modes."""
    ys, xs, zs = RNG.normal(size=(40, 12, 5)), RNG.normal(size=(40, 12, 3)), RNG.integers(0, 2, (40, 12))
    source = savez(tmp_path / "a.npz", ys=ys, us=INPUTS, xs=xs, zs=zs, region_sizes=[2, 3], num_regions=2)
    with pytest.warns(cc.ContractWarning, match="left out: num_regions"):
        file = converted(source, tmp_path, bin_width_s=0.05)
    with file:
        np.testing.assert_allclose(file.signals["activity"][:], ys, rtol=1e-6)
        np.testing.assert_allclose(file.signals["inputs"][:], INPUTS, rtol=1e-6)
        np.testing.assert_allclose(file.truth["states"][:], xs, rtol=1e-6)
        np.testing.assert_array_equal(file.truth["mode"][:], zs)
        np.testing.assert_array_equal(file.tables["neurons"]["region"], [0, 0, 1, 1, 1])
        assert file.names("region") == ["region 0", "region 1"]
        sizes = [np.count_nonzero(file.split(name)) for name in ("train", "valid", "test")]
        assert sizes == [28, 4, 8]


def test_missing_bins_are_marked(tmp_path):
    data = SPIKES.astype(float)
    data[3, 4:6, 1] = np.nan
    with converted(savez(tmp_path / "a.npz", spikes=data), tmp_path, bin_width_s=0.01) as file:
        observed = file.signals["observed"][:]
        np.testing.assert_array_equal(np.argwhere(observed == 0), [[3, 4, 1], [3, 5, 1]])
        assert file.signals["spikes"][3, 4, 1] == 0


def test_counts_above_255_keep_their_value(tmp_path):
    data = SPIKES.astype(int) * 300
    with converted(savez(tmp_path / "a.npz", spikes=data), tmp_path, bin_width_s=0.01) as file:
        np.testing.assert_array_equal(file.signals["spikes"][:], data)


def cells(parts):
    cell = np.empty(len(parts), dtype=object)
    cell[:] = parts
    return cell


LENGTHS = [12, 7, 9, 12, 3]
RAGGED = [SPIKES[i, :n] for i, n in enumerate(LENGTHS)]


def check_ragged(file):
    np.testing.assert_array_equal(file.lengths, LENGTHS)
    for row, part in enumerate(RAGGED):
        np.testing.assert_array_equal(file.signals["spikes"][row, : len(part)], part)
        assert not file.signals["spikes"][row, len(part) :].any()


def test_mat_cell_arrays_are_trials_of_any_length(tmp_path):
    savemat(tmp_path / "a.mat", {"spikes": cells(RAGGED), "bin_width": 0.01})
    with converted(tmp_path / "a.mat", tmp_path) as file:
        check_ragged(file)
        assert file.bin_width_s == 0.01


def test_mat_arrays(tmp_path):
    one_channel = INPUTS[:, :, :1]
    savemat(tmp_path / "a.mat", {"spikes": SPIKES, "us": one_channel[:, :, 0], "split": np.arange(40) % 3})
    with converted(tmp_path / "a.mat", tmp_path, bin_width_s=0.01) as file:
        np.testing.assert_array_equal(file.signals["spikes"][:], SPIKES)
        np.testing.assert_allclose(file.signals["inputs"][:], one_channel, rtol=1e-6)
        np.testing.assert_array_equal(file.tables["trials"]["split"], np.arange(40) % 3)


def write_v73(path, spikes):
    """What MATLAB's save -v7.3 writes: arrays transposed, cells as references into #refs#."""
    with h5py.File(path, "w") as file:
        if isinstance(spikes, np.ndarray):
            file["spikes"] = spikes.T
        else:
            for i, part in enumerate(spikes):
                file[f"#refs#/{i}"] = part.T
            references = np.array([[file[f"#refs#/{i}"].ref] for i in range(len(spikes))], h5py.ref_dtype)
            file.create_dataset("spikes", data=references)
            file["spikes"].attrs["MATLAB_class"] = np.bytes_("cell")
        file["bin_width"] = [[0.01]]
        file["note"] = np.array([[ord(c)] for c in "hi"], np.uint16)
        file["note"].attrs["MATLAB_class"] = np.bytes_("char")
    return path


def test_mat_73_arrays_and_cells(tmp_path):
    with (
        pytest.warns(cc.ContractWarning, match="left out: note"),
        converted(write_v73(tmp_path / "a.mat", SPIKES), tmp_path) as file,
    ):
        np.testing.assert_array_equal(file.signals["spikes"][:], SPIKES)
    with (
        pytest.warns(cc.ContractWarning, match="left out: note"),
        converted(write_v73(tmp_path / "b.mat", RAGGED), tmp_path) as file,
    ):
        check_ragged(file)


def test_structures_are_described(tmp_path):
    savemat(tmp_path / "a.mat", {"trialData": {"counts": SPIKES, "id": 3}, "goodElectrodes": [1, 2]})
    with pytest.raises(cc.ContractError) as caught:
        convert(tmp_path / "a.mat", tmp_path / "b.h5", bin_width_s=0.01)
    assert "an array (trial, time, neuron)" in caught.value.expected
    assert "trialData struct with fields counts, id" in caught.value.got
    assert "--map spikes=VARIABLE, or spikes=STRUCTURE.FIELD" in caught.value.fix


def test_without_scipy_the_extra_is_named(tmp_path, monkeypatch):
    savemat(tmp_path / "a.mat", {"spikes": SPIKES})
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(cc.ContractError, match=r"pip install 'ctd-contract\[mat\]'"):
        convert(tmp_path / "a.mat", tmp_path / "b.h5", bin_width_s=0.01)


def test_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", spikes=cells(RAGGED))
    with pytest.raises(cc.ContractError, match="pad trials of unequal length"):
        convert(tmp_path / "a.npz", tmp_path / "b.h5", bin_width_s=0.01)


def test_a_truncated_archive_is_refused_and_closed(tmp_path):
    whole = savez(tmp_path / "a.npz", spikes=SPIKES).read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(cc.ContractError, match="an archive of plain arrays"):
        convert(tmp_path / "a.npz", tmp_path / "b.h5", bin_width_s=0.01)
    gc.collect()  # what is open still would warn here, and a warning is an error


@pytest.mark.parametrize("suffix", [".npz", ".mat", ".h5", ".csv"])
def test_other_files_are_refused(tmp_path, suffix):
    source = (tmp_path / "a").with_suffix(suffix)
    source.write_bytes(b"no such thing" * 50)
    with pytest.raises(cc.ContractError, match="CTD701"):
        convert(source, tmp_path / "b.h5", bin_width_s=0.01)


def test_a_damaged_mat_file_is_refused(tmp_path):
    savemat(tmp_path / "a.mat", {"spikes": SPIKES}, do_compression=True)
    (tmp_path / "a.mat").write_bytes((tmp_path / "a.mat").read_bytes()[:300])
    with pytest.raises(cc.ContractError, match="CTD701"):
        convert(tmp_path / "a.mat", tmp_path / "b.h5", bin_width_s=0.01)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"counts": SPIKES}, "trials under one of spikes, activity, ys"),
        ({"spikes": SPIKES[0, 0]}, r"axes \(trial, time, neuron\)"),
        ({"spikes": SPIKES, "us": INPUTS[:, :11]}, r"us\n.*axes \(trial=40, time=12, input=2\)"),
        ({"spikes": SPIKES, "split": np.arange(40)}, "40 of train, valid, test"),
        ({"spikes": SPIKES, "region_sizes": [2, 2]}, "sizes that add up to 5, got .*4 in all"),
        ({"spikes": SPIKES, "time": np.arange(12.0) ** 2}, "bins of"),
        ({"spikes": SPIKES, "held_out": [1, 0]}, "neuron=5"),
        ({"spikes": SPIKES, "trial": np.zeros(40)}, "unique"),
    ],
)
def test_arrays_that_dont_fit_are_refused(tmp_path, arrays, message):
    with pytest.raises(cc.ContractError, match=message):
        convert(savez(tmp_path / "a.npz", **arrays), tmp_path / "b.h5", bin_width_s=0.01)
    assert not (tmp_path / "b.h5").exists()


def test_trials_of_different_channels_are_refused(tmp_path):
    savemat(tmp_path / "a.mat", {"spikes": cells([SPIKES[0], SPIKES[1][:, :4]])})
    with pytest.raises(cc.ContractError, match="the same channels"):
        convert(tmp_path / "a.mat", tmp_path / "b.h5", bin_width_s=0.01)


def test_inputs_must_be_as_long_as_the_data(tmp_path):
    savemat(tmp_path / "a.mat", {"ys": cells(RAGGED), "us": cells([INPUTS[i, :12] for i in range(5)])})
    with pytest.raises(cc.ContractError, match="trials as long as the data's"):
        convert(tmp_path / "a.mat", tmp_path / "b.h5", bin_width_s=0.01)
