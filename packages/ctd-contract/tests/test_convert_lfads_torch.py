"""lfads-torch files: the mapping of their keys, both ways."""

import h5py
import numpy as np
import pytest

import ctd_contract as cc
from ctd_contract.convert import Design, convert, detect
from ctd_contract.testing import make_recording
from ctd_contract.validation import validate


def counts(*shape, seed=0, rate=2.0):
    return np.random.default_rng(seed).poisson(rate, shape).astype(np.float32)


def write_h5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


def two_splits(path, n_train=20, n_valid=5, **more):
    train, valid = counts(n_train, 10, 6, seed=1), counts(n_valid, 10, 6, seed=2)
    keys = {
        "train_encod_data": train[:, :8, :4],
        "train_recon_data": train,
        "valid_encod_data": valid[:, :8, :4],
        "valid_recon_data": valid,
    }
    return write_h5(path, **{**keys, **more}), train, valid


def test_keys_become_signals_masks_and_three_splits(tmp_path):
    source, train, valid = two_splits(tmp_path / "a.h5")
    assert detect(source) == "lfads-torch"
    assert convert(source, tmp_path / "b.h5", bin_width_s=0.02) == ("lfads-torch", "contract")
    with cc.open(tmp_path / "b.h5") as file:
        assert file.kind == "recording"
        np.testing.assert_array_equal(file.signals["spikes"][:], np.concatenate([train, valid]))
        assert file.signals["spikes"].dtype == np.uint8
        np.testing.assert_array_equal(file.held_out, [False] * 4 + [True] * 2)
        np.testing.assert_array_equal(file.forward, [False] * 8 + [True] * 2)
        np.testing.assert_array_equal(np.flatnonzero(file.split("test")), np.arange(20, 25))
        assert np.count_nonzero(file.split("valid")) == 2
        assert np.count_nonzero(file.split("train")) == 18
        assert file.bin_width_s == 0.02
        np.testing.assert_allclose(file.time, 0.02 * np.arange(10))


def test_the_drawn_split_follows_the_seed(tmp_path):
    source, *_ = two_splits(tmp_path / "a.h5", n_train=200)
    drawn = []
    for seed in (0, 0, 1):
        convert(source, tmp_path / "b.h5", bin_width_s=0.01, design=Design(seed=seed), overwrite=True)
        with cc.open(tmp_path / "b.h5") as file:
            drawn.append(np.flatnonzero(file.split("valid")))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def reordered_by_id(file, wanted, read):
    """An array of `file` in the order of the trials `wanted`."""
    return read(file)[np.argsort(file.axis("trial"))[np.searchsorted(np.sort(file.axis("trial")), wanted)]]


@pytest.mark.parametrize("continuous", [False, True])
def test_round_trip(tmp_path, continuous):
    make_recording(tmp_path / "a.h5", n_trials=40, n_forward=5, continuous=continuous, behavior=False, seed=3)
    assert convert(tmp_path / "a.h5", tmp_path / "b.h5") == ("contract", "lfads-torch")
    convert(tmp_path / "b.h5", tmp_path / "c.h5")
    assert validate(tmp_path / "c.h5") == []
    name = "activity" if continuous else "spikes"
    with cc.open(tmp_path / "a.h5") as before, cc.open(tmp_path / "c.h5") as after:
        rows, others = cc.align(before, after)
        for read in (
            lambda file: file.signals[name][:],
            lambda file: file.signals["inputs"][:],
            lambda file: file.truth["states"][:],
            lambda file: file.tables["trials"]["split"],
        ):
            np.testing.assert_array_equal(read(before)[rows], read(after)[others])
        if not continuous:
            np.testing.assert_allclose(
                before.truth["rates"][:][rows], after.truth["rates"][:][others], rtol=1e-6
            )
        np.testing.assert_array_equal(before.held_out, after.held_out)
        np.testing.assert_array_equal(before.forward, after.forward)
        np.testing.assert_array_equal(before.time, after.time)


def test_held_out_neurons_go_last_and_keep_their_ids(tmp_path):
    spikes = counts(6, 5, 4, seed=5)
    with cc.create(
        tmp_path / "a.h5", "recording", name="a", producer="test", trial=6, time=5, bin_width_s=0.01,
        axes={"neuron": [10, 11, 12, 13]},
    ) as writer:  # fmt: skip
        writer.signal("spikes", spikes)
        writer.column("trials", "split", [0, 2, 0, 1, 0, 2])
        writer.column("neurons", "held_out", [1, 0, 0, 1])
    convert(tmp_path / "a.h5", tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5") as file:
        np.testing.assert_array_equal(file["train_recon_data"], spikes[[0, 2, 4]][:, :, [1, 2, 0, 3]])
        np.testing.assert_array_equal(file["train_encod_data"], spikes[[0, 2, 4]][:, :, [1, 2]])
        np.testing.assert_array_equal(file["valid_recon_data"], spikes[[3]][:, :, [1, 2, 0, 3]])
        np.testing.assert_array_equal(file["test_inds"], [1, 5])
    convert(tmp_path / "b.h5", tmp_path / "c.h5")
    with cc.open(tmp_path / "c.h5") as file:
        np.testing.assert_array_equal(file.axis("neuron"), [11, 12, 10, 13])
        np.testing.assert_array_equal(file.held_out, [False, False, True, True])


def test_many_blocks_of_trials_are_written_in_order(tmp_path):
    make_recording(tmp_path / "a.h5", n_trials=700, n_time=4, n_neurons=3, n_held_out=1, truth=False)
    convert(tmp_path / "a.h5", tmp_path / "b.h5")
    with cc.open(tmp_path / "a.h5") as before, h5py.File(tmp_path / "b.h5") as after:
        expected = before.signals["spikes"][:][before.split("train")]
        np.testing.assert_array_equal(after["train_recon_data"], expected)


@pytest.mark.parametrize(("unit", "factor"), [(1.0, None), (100.0, None), (100.0, 100.0), (5000.0, 5000.0)])
def test_true_rates_come_out_in_spikes_per_second(tmp_path, unit, factor):
    """Truth in counts per bin, in spikes/s (bins of 0.01 s), and with a conversion factor."""
    expected = np.random.default_rng(0).uniform(1, 3, (30, 10, 6))
    data = np.random.default_rng(1).poisson(expected).astype(np.float32)
    more = {} if factor is None else {"conversion_factor": factor}
    source = write_h5(
        tmp_path / "a.h5",
        train_data=data[:20], valid_data=data[20:], train_truth=unit * expected[:20],
        valid_truth=unit * expected[20:], **more,
    )  # fmt: skip
    convert(source, tmp_path / "b.h5", bin_width_s=0.01)
    assert validate(tmp_path / "b.h5") == []
    with cc.open(tmp_path / "b.h5") as file:
        np.testing.assert_allclose(file.truth["rates"][:], expected * 100, rtol=1e-6)


def test_rates_in_no_known_unit_are_refused(tmp_path):
    source, train, valid = two_splits(tmp_path / "a.h5")
    with h5py.File(source, "a") as file:
        file["train_truth"], file["valid_truth"] = 7 * train, 7 * valid
    with pytest.raises(cc.ContractError, match="rates whose mean fits"):
        convert(source, tmp_path / "b.h5", bin_width_s=0.01)


def test_a_test_split_without_targets_is_marked_unobserved(tmp_path):
    test = counts(3, 8, 4, seed=9)
    source, *_ = two_splits(tmp_path / "a.h5", test_encod_data=test)
    convert(source, tmp_path / "b.h5", bin_width_s=0.01)
    assert validate(tmp_path / "b.h5") == []
    with cc.open(tmp_path / "b.h5") as file:
        rows = file.split("test")
        np.testing.assert_array_equal(np.flatnonzero(rows), [25, 26, 27])
        np.testing.assert_array_equal(file.signals["spikes"][:][rows][:, :8, :4], test)
        observed = file.signals["observed"][:]
        assert observed[~rows].all()
        assert observed[rows][:, :8, :4].all()
        assert not observed[rows][:, 8:].any()
        assert not observed[rows][:, :, 4:].any()
    # And out again: the targets that aren't there aren't made up.
    convert(tmp_path / "b.h5", tmp_path / "c.h5")
    with h5py.File(tmp_path / "c.h5") as file:
        assert "test_recon_data" not in file
        np.testing.assert_array_equal(file["test_encod_data"], test)


def test_what_has_no_place_is_named_in_one_warning(tmp_path):
    source, *_ = two_splits(tmp_path / "a.h5", psth=np.zeros((8, 10, 6)), valid_jitter=np.zeros(5))
    with pytest.warns(cc.ContractWarning, match="left out: psth, valid_jitter") as seen:
        convert(source, tmp_path / "b.h5", bin_width_s=0.01)
    assert len(seen) == 1


def test_ids_that_repeat_become_a_column(tmp_path):
    inds = {"train_inds": np.arange(20), "valid_inds": np.arange(5)}
    source, *_ = two_splits(tmp_path / "a.h5", **inds)
    convert(source, tmp_path / "b.h5", bin_width_s=0.01)
    assert validate(tmp_path / "b.h5") == []
    with cc.open(tmp_path / "b.h5") as file:
        np.testing.assert_array_equal(file.axis("trial"), np.arange(25))
        np.testing.assert_array_equal(file.tables["trials"]["source_index"], [*range(20), *range(5)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"valid_encod_data": None, "valid_recon_data": None}, "expected valid_encod_data and valid_recon"),
        ({"train_encod_data": np.ones((20, 8, 4))}, "leading bins and neurons of train_recon_data"),
        ({"valid_recon_data": np.zeros((5, 10, 7))}, "valid_"),
        ({"train_ext_input": np.zeros((20, 9, 2)), "valid_ext_input": np.ones((5, 9, 2))}, "time=10, input"),
        ({"train_behavior": np.zeros((19, 10, 2)), "valid_behavior": np.zeros((5, 10, 2))}, "trial=20"),
        ({"train_recon_data": np.array([b"no numbers"])}, "train_recon_data"),
    ],
)  # fmt: skip
def test_wrong_files_are_refused(tmp_path, change, message):
    source, *_ = two_splits(tmp_path / "a.h5")
    with h5py.File(source, "a") as file:
        for name, array in change.items():
            if name in file:
                del file[name]
            if array is not None:
                file[name] = array
    with pytest.raises(cc.ContractError, match=message):
        convert(source, tmp_path / "b.h5", bin_width_s=0.01, source_format="lfads-torch")
    assert not (tmp_path / "b.h5").exists()


def test_bin_width_must_be_stated(tmp_path):
    source, *_ = two_splits(tmp_path / "a.h5")
    with pytest.raises(cc.ContractError, match="--bin-width"):
        convert(source, tmp_path / "b.h5")
    with pytest.raises(cc.ContractError, match="above 0 s"):
        convert(source, tmp_path / "b.h5", bin_width_s=-1.0)


def test_what_the_layout_cant_say_is_refused(tmp_path):
    make_recording(tmp_path / "short.h5", lengths=True)
    with pytest.raises(cc.ContractError, match="trials of one length"):
        convert(tmp_path / "short.h5", tmp_path / "b.h5")
    assert list(tmp_path.iterdir()) == [tmp_path / "short.h5"]


def test_an_existing_target_is_kept(tmp_path):
    make_recording(tmp_path / "a.h5", truth=False)
    (tmp_path / "b.h5").write_text("mine")
    with pytest.raises(cc.ContractError, match="CTD603"):
        convert(tmp_path / "a.h5", tmp_path / "b.h5")
    assert (tmp_path / "b.h5").read_text() == "mine"
    convert(tmp_path / "a.h5", tmp_path / "b.h5", overwrite=True)
    assert detect(tmp_path / "b.h5") == "lfads-torch"


def test_a_truncated_source_is_refused(tmp_path):
    source, *_ = two_splits(tmp_path / "a.h5")
    source.write_bytes(source.read_bytes()[:3000])
    with pytest.raises(cc.ContractError):
        convert(source, tmp_path / "b.h5", bin_width_s=0.01, source_format="lfads-torch")
