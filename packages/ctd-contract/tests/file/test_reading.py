"""Reading: lazily, by names and ids, and whatever was written comes back."""

from __future__ import annotations

import pickle
import subprocess
import sys

import h5py
import numpy as np
import pytest
import xarray
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import ctd_contract as cc
from ctd_contract import testing
from ctd_contract.dynamics import Affine, Opaque
from ctd_contract.schema import SIGNALS


@pytest.fixture
def recording(tmp_path):
    return testing.make_recording(tmp_path / "recording.h5", n_trials=10, n_time=8, lengths=True, n_forward=2)


def test_metadata_of_a_recording(recording):
    with cc.open(recording) as file:
        assert file.sizes == {
            "trial": 10, "time": 8, "neuron": 8, "state": 4, "input": 2, "behavior": 2, "condition": 2
        }  # fmt: skip
        assert list(file.signals) == ["behavior", "inputs", "spikes"]
        spikes = file.signals["spikes"]
        assert (spikes.shape, spikes.dtype, spikes.unit) == ((10, 8, 8), np.uint16, "count")
        assert spikes.axes == ("trial", "time", "neuron")
        assert file.truth["rates"].unit == "spikes/s"
        assert "rates" not in file.signals
        assert file.bin_width_s == 0.01
        np.testing.assert_allclose(file.time, np.arange(8) * 0.01)
        assert file.names("condition") == ["left", "right"]
        assert file.names("input") is None
        assert file.tables.get("factors", {}).get("region") is None
        assert file.tables["trials"]["condition"].dtype == np.int32
        shown = repr(file)
    for part in ("recording.h5", "trial=10", "/signals/spikes (trial=10, time=8, neuron=8) uint16 count"):
        assert part in shown


def test_masks(recording):
    with cc.open(recording) as file:
        splits = np.stack([file.split(name) for name in cc.SPLITS])
        np.testing.assert_array_equal(splits.sum(axis=0), 1)
        np.testing.assert_array_equal(splits.sum(axis=1), [7, 1, 2])
        np.testing.assert_array_equal(file.forward, [False] * 6 + [True] * 2)
        np.testing.assert_array_equal(file.held_out, [False] * 6 + [True] * 2)
        np.testing.assert_array_equal(file.valid_bins().sum(axis=1), file.lengths)
        np.testing.assert_array_equal(file.valid_bins(slice(3, 5)), file.valid_bins()[3:5])
        assert not file.signals["spikes"][:][~file.valid_bins()].any()
        with pytest.raises(ValueError, match="train, valid, test"):
            file.split("dev")


def test_lengths_and_forward_without_columns(toy_files, tmp_path):
    with cc.open(testing.make_recording(tmp_path / "x.h5", n_trials=3, n_time=4)) as file:
        np.testing.assert_array_equal(file.lengths, [4, 4, 4])
        assert file.lengths.dtype == np.int32
        assert not file.forward.any()
        assert file.valid_bins().all()


def test_slices_are_numpy_slices(recording):
    with cc.open(recording) as file:
        spikes = file.signals["spikes"]
        whole = spikes[:]
        np.testing.assert_array_equal(np.asarray(spikes), whole)
        np.testing.assert_array_equal(spikes[3], whole[3])
        np.testing.assert_array_equal(spikes[2:5, ::2, -1], whole[2:5, ::2, -1])
        np.testing.assert_array_equal(spikes[[1, 4]], whole[[1, 4]])
        np.testing.assert_array_equal(spikes[file.split("train")], whole[file.split("train")])
        # In any order, repeated, from the end: as NumPy, not as h5py.
        assert spikes[[]].shape == (0, 8, 8)
        for rows in ([4, 1, 1, -1], np.zeros(10, bool), np.ones(10, bool), np.array([9], np.int32)):
            np.testing.assert_array_equal(spikes[rows], whole[rows])
            np.testing.assert_array_equal(spikes[rows, 2:5, 1], whole[rows, 2:5, 1])
        for wrong in ([10], [-11], np.ones(9, bool), [[1]]):
            with pytest.raises(IndexError):
                spikes[wrong]
        assert len(spikes) == 10
        assert spikes.ndim == 3


def test_scattered_rows_of_several_blocks(recording, monkeypatch):
    monkeypatch.setattr("ctd_contract.reader.BLOCK_BYTES", 300)
    rows = np.random.default_rng(0).integers(-10, 10, size=50)
    with cc.open(recording) as file:
        np.testing.assert_array_equal(file.truth["rates"][rows], file.truth["rates"][:][rows])


def test_opening_reads_no_arrays(recording, monkeypatch):
    def fail(*_):
        raise AssertionError("an array was read")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", fail)
    with cc.open(recording) as file:
        assert file.signals["spikes"].shape == (10, 8, 8)


@pytest.mark.parametrize("trials", [1, 3, 10, 256])
def test_blocks_add_up_to_the_whole(recording, trials):
    with cc.open(recording) as file:
        rows, blocks = zip(*file.blocks("spikes", "truth/rates", trials=trials), strict=True)
        assert [row.start for row in rows] == list(range(0, 10, trials))
        for name, whole in (("spikes", file.signals["spikes"]), ("truth/rates", file.truth["rates"])):
            np.testing.assert_array_equal(np.concatenate([block[name] for block in blocks]), whole[:])
        with pytest.raises(KeyError):
            next(file.blocks("activity"))


def test_a_file_goes_to_another_process_by_its_path(recording):
    with cc.open(recording) as file:
        copy = pickle.loads(pickle.dumps(file))
    with copy:
        assert copy.digest == file.digest
        assert copy.signals["spikes"][:].shape == (10, 8, 8)


def test_a_closed_file_says_so(recording):
    with cc.open(recording) as file:
        spikes = file.signals["spikes"]
    for read in (lambda: spikes[:], lambda: file.time):
        with pytest.raises(cc.ContractError, match="CTD607"):
            read()


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("signals", {"spikes", "inputs", "behavior"}),
        ("truth", {"rates", "states", "inputs", "initial_state"}),
        ("trials", {"split", "condition", "length"}),
    ],
)
def test_xarray_opens_a_group(recording, group, names):
    with xarray.open_dataset(recording, engine="h5netcdf", group=group) as dataset:
        # A variable of its last axis's name, behavior, is a coordinate to xarray.
        assert set(dataset.variables) == names
        sizes = {"trial": 10, "time": 8, "neuron": 8, "state": 4, "input": 2, "behavior": 2}
        assert set(dataset.sizes) <= set(sizes)
        for name, size in dataset.sizes.items():
            assert sizes[str(name)] == size
        if group == "signals":
            assert dataset["spikes"].dims == ("trial", "time", "neuron")
            with cc.open(recording) as file:
                np.testing.assert_array_equal(dataset["spikes"].values, file.signals["spikes"][:])


def test_xarray_opens_the_axes(recording):
    with xarray.open_dataset(recording, engine="h5netcdf") as dataset:
        np.testing.assert_array_equal(dataset["trial"].values, np.arange(10) + 100)


# --- alignment


def ids(path, trial):
    with cc.create(
        path, "task", name="x", producer="t", trial=trial, time=2, bin_width_s=1.0, overwrite=True
    ) as file:
        file.column("trials", "split", np.zeros(len(trial)))
    return cc.open(path)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(-3, 9)), st.integers(0, 12), st.integers(1, 12))
def test_alignment_is_by_id(tmp_path, order, start, count):
    wanted = sorted(order[start : start + count] or order, key=hash)
    with ids(tmp_path / "a.h5", wanted) as a, ids(tmp_path / "b.h5", order) as b:
        rows_a, rows_b = cc.align(a, b)
        np.testing.assert_array_equal(rows_a, np.arange(len(wanted)))
        np.testing.assert_array_equal(np.asarray(order)[rows_b], wanted)
        rows_b, rows_a = cc.align(b, a, common=True)
        np.testing.assert_array_equal(np.asarray(order)[rows_b], np.asarray(wanted)[rows_a])
        assert len(rows_a) == len(wanted)


def test_alignment_names_what_is_missing(tmp_path):
    with ids(tmp_path / "a.h5", [1, 2, 3, 4]) as a, ids(tmp_path / "b.h5", [4, 2, 9]) as b:
        with pytest.raises(cc.ContractError, match="2 missing: 1, 3") as caught:
            cc.align(a, b)
        assert caught.value.code == "CTD606"
        rows_a, rows_b = cc.align(a, b, common=True)
        assert (rows_a.tolist(), rows_b.tolist()) == ([1, 3], [1, 0])
    with (
        ids(tmp_path / "a.h5", [1]) as a,
        ids(tmp_path / "b.h5", [2]) as b,
        pytest.raises(cc.ContractError, match="1 missing"),
    ):
        cc.align(a, b, common=True)


# --- round trips

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
sizes = st.integers(1, 4)
finite = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), trials=sizes, bins=sizes, neurons=sizes, inputs=st.integers(0, 3))
def test_what_is_written_comes_back(tmp_path, data, trials, bins, neurons, inputs):
    def draw(dtype, *shape, **options):
        return data.draw(arrays.arrays(dtype, shape, **options))

    title = data.draw(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20))
    trial = data.draw(st.lists(st.integers(-(2**62), 2**62), min_size=trials, max_size=trials, unique=True))
    values = {
        "spikes": draw(data.draw(st.sampled_from(["u1", "u2"])), trials, bins, neurons),
        "inputs": draw("f4", trials, bins, inputs, elements=finite),
        "behavior": draw("f4", trials, bins, 2, elements=st.one_of(finite, st.just(float("nan")))),
        "observed": draw("u1", trials, bins, neurons, elements=st.integers(0, 1)),
    }
    labels = data.draw(st.lists(names, min_size=neurons, max_size=neurons, unique=True))
    columns = {
        "split": draw("u1", trials, elements=st.integers(0, 2)),
        "reward": draw(data.draw(st.sampled_from(["i2", "f4", "f8", "u8"])), trials),
    }
    path = tmp_path / "x.h5"
    with cc.create(
        path,
        "recording",
        name="x",
        title=title,
        producer="t",
        trial=trial,
        time=np.arange(bins) * 0.02 - 1,
        bin_width_s=0.02,
        overwrite=True,
    ) as writer:
        for name, array in values.items():
            writer.signal(name, array)
        for name, array in columns.items():
            writer.column("trials", name, array)
        writer.column("neurons", "held_out", np.zeros(neurons))
        writer.names("neuron", labels)
    assert cc.validate(path) == []
    with cc.open(path) as file:
        assert file.axis("trial").tolist() == trial
        for name, array in values.items():
            np.testing.assert_array_equal(file.signals[name][:], array)
            assert file.signals[name].dtype == array.dtype
        for name, array in columns.items():
            np.testing.assert_array_equal(file.tables["trials"][name], array)
        # A fixed-length string loses nothing but NULs, which the writer refuses.
        assert file.names("neuron") == labels
        assert file.attributes.get("title") == title
        assert file.digest == writer.digest


def test_dynamics_come_back(tmp_path):
    dynamics = Affine(np.eye(2) * 0.5, None, [0.0, 1.0], noise_std=0.25)
    state = np.random.default_rng(0).normal(size=(64, 2))
    probe = cc.Probe(state, None, dynamics.step(state))

    def write(dynamics, probe):
        with cc.create(
            tmp_path / "x.h5",
            "task",
            name="x",
            producer="t",
            trial=2,
            time=2,
            bin_width_s=0.01,
            overwrite=True,
        ) as file:
            file.column("trials", "split", [0, 1])
            file.dynamics(dynamics, probe)
        with cc.open(tmp_path / "x.h5") as file:
            return file.dynamics()

    found = write(dynamics, probe)
    assert isinstance(found, Affine)
    assert found.noise_std == 0.25
    assert found.inputs == ()
    np.testing.assert_array_equal(found.step(state), dynamics.step(state))
    assert isinstance(write(Opaque(2), None), Opaque)
    with pytest.raises(cc.ContractError, match="CTD403"):
        write(dynamics, None)
    with pytest.raises(cc.ContractError, match="CTD404"):
        write(dynamics, cc.Probe(state, None, dynamics.step(state) + 1e-3))


def test_import_is_light():
    code = (
        "import sys, ctd_contract; "
        "names = {'hydra', 'torch', 'scipy', 'matplotlib', 'omegaconf', 'ctd_contract.dynamics'}; "
        "heavy = names & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_name_of_the_index_exists():
    for name in cc.__all__:
        assert getattr(cc, name) is not None
    with pytest.raises(AttributeError, match="unknown_name"):
        cc.unknown_name  # noqa: B018


def test_the_schema_is_sound():
    from ctd_contract.schema import AXES, column_spec, signal_spec

    for signal in SIGNALS.values():
        assert set(signal.axes) <= set(AXES)
        assert signal.kinds or signal.truth
    assert signal_spec("rates_std").unit == "spikes/s"  # type: ignore[union-attr]
    assert signal_spec("forecast_10").axes == ("trial", "time", "neuron")  # type: ignore[union-attr]
    for name in ("forecast_0", "forecast_x", "spikes_std", "rate", "_std", ""):
        assert signal_spec(name) is None
    for table, name in (("trial", "x"), ("trials", "a/b"), ("trials", ""), ("trials", "_x")):
        assert column_spec(table, name) is None
