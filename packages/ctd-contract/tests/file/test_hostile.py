"""Damaged and malicious files: always a ContractError, before any array is read."""

from __future__ import annotations

import os
import struct

import h5py
import numpy as np
import pytest

import ctd_contract as cc
from ctd_contract import hdf5

LIBVER = hdf5.LIBVER


def refuse(path, code):
    """Opening raises `code`, and validation finds it."""
    with pytest.raises(cc.ContractError) as caught:
        cc.open(path)
    assert caught.value.code == code, str(caught.value)
    assert code in {finding.code for finding in cc.validate(path)}


@pytest.fixture
def path(edited):
    return edited("recording", lambda raw: None)


@pytest.fixture
def harmed(path):
    """Change a valid file through h5py: ``harmed(change)``."""

    def harm(change):
        with h5py.File(path, "r+", libver=LIBVER) as file:
            change(file)
        return path

    return harm


def plain(file, name, **options):
    values = file["signals/inputs"][...]
    del file["signals/inputs"]
    return file.create_dataset(name, data=values, **{"chunks": values.shape, "fletcher32": True, **options})


def test_virtual_storage(harmed):
    def change(file):
        layout = h5py.VirtualLayout((6, 5, 1), "f4")
        layout[:] = h5py.VirtualSource("elsewhere.h5", "x", (6, 5, 1))
        del file["signals/inputs"]
        file.create_virtual_dataset("signals/inputs", layout)

    refuse(harmed(change), "CTD110")


def test_external_storage(harmed, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(120))

    def change(file):
        del file["signals/inputs"]
        file.create_dataset("signals/inputs", (6, 5, 1), "f4", external=[(str(secret), 0, 120)])

    refuse(harmed(change), "CTD110")


@pytest.mark.parametrize("options", [{"chunks": None, "fletcher32": False}, {"fletcher32": False}])
def test_storage_without_checksum(harmed, options):
    refuse(harmed(lambda file: plain(file, "signals/inputs", **options)), "CTD110")


@pytest.mark.parametrize(
    "options", [{"compression": "lzf"}, {"scaleoffset": 3, "fletcher32": False}], ids=["lzf", "scaleoffset"]
)
def test_other_filters(harmed, options):
    refuse(harmed(lambda file: plain(file, "signals/inputs", **options)), "CTD111")


def test_gzip_and_shuffle_are_welcome(harmed):
    def change(file):
        values = file["conditions/name"][...]
        attributes = hdf5.read_attributes(file["conditions/name"])
        del file["conditions/name"]
        item = file.create_dataset(
            "conditions/name", data=values, chunks=(2,), fletcher32=True, compression="gzip", shuffle=True
        )
        item.dims[0].attach_scale(file["condition"])
        assert attributes == {}

    assert cc.validate(harmed(change)) == []


@pytest.mark.parametrize(
    "link",
    [h5py.SoftLink("/signals/inputs"), h5py.SoftLink("/nowhere"), h5py.ExternalLink("other.h5", "/x")],
    ids=["soft", "dangling", "external"],
)
@pytest.mark.parametrize("place", ["signals/inputs", "signals", "more"])
def test_links(harmed, link, place):
    def change(file):
        if place in file:
            del file[place]
        file[place] = link

    refuse(harmed(change), "CTD109")


def test_cyclic_links(harmed):
    def change(file):
        file["signals/up"] = file["/"]

    refuse(harmed(change), "CTD109")


def test_two_links_to_one_array(harmed):
    def change(file):
        file["signals/inputs_clean"] = file["signals/inputs"]

    refuse(harmed(change), "CTD109")


TYPES = {
    "vlen string": lambda f: f.create_dataset("bad", data=["a", "b"], dtype=h5py.string_dtype()),
    "compound": lambda f: f.create_dataset("bad", data=np.zeros(2, [("a", "f4"), ("b", "i4")])),
    "reference": lambda f: f.create_dataset(
        "bad", data=np.array([f.ref], h5py.ref_dtype), dtype=h5py.ref_dtype
    ),
    "vlen": lambda f: f.create_dataset("bad", (2,), h5py.vlen_dtype("i4")),
    "enum": lambda f: f.create_dataset("bad", data=np.array([True])),
    "opaque": lambda f: f.create_dataset("bad", data=np.array([np.void(b"xy")])),
    "half": lambda f: f.create_dataset("bad", data=np.zeros(2, "f2")),
    "big endian": lambda f: f.create_dataset("bad", data=np.zeros(2, ">f4")),
    "array": lambda f: f.create_dataset("bad", (2,), np.dtype(("f4", (3,)))),
    "named": lambda f: f.__setitem__("bad", np.dtype("f4")),
}


@pytest.mark.parametrize("make", TYPES.values(), ids=TYPES)
def test_types(harmed, make):
    refuse(harmed(make), "CTD112")


def test_array_of_a_named_type(harmed):
    def change(file):
        file["kind"] = np.dtype("f4")
        file.create_dataset("bad", (2,), file["kind"])

    refuse(harmed(change), "CTD112")


ATTRIBUTES = {
    "vlen string": "text",
    "compound": np.zeros(1, [("a", "f4")]),
    "bool": np.bool_(True),
    "matrix": np.zeros((2, 2)),
    "empty": h5py.Empty("f4"),
    "not UTF-8": np.bytes_(b"\xff\xff"),
    "huge": np.zeros(20_000),
}


@pytest.mark.parametrize("value", ATTRIBUTES.values(), ids=ATTRIBUTES)
@pytest.mark.parametrize("place", ["/", "signals", "signals/inputs"])
def test_attributes(harmed, value, place):
    def change(file):
        file[place].attrs["bad"] = value

    refuse(harmed(change), "CTD115")


@pytest.mark.parametrize("shape", [(10**9, 5, 1), (2**40, 5, 1), (2**31, 2**20, 2**10)])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_absurd_shapes(harmed, shape, compression):
    def change(file):
        del file["signals/inputs"]
        file.create_dataset(
            "signals/inputs", shape, "f4", chunks=(1, 5, 1), fletcher32=True, compression=compression
        )

    refuse(harmed(change), "CTD113")


def test_absurd_rank_and_scalars(harmed):
    refuse(
        harmed(lambda file: file.create_dataset("deep", (1,) * 9, "f4", chunks=(1,) * 9, fletcher32=True)),
        "CTD113",
    )


def test_absurd_depth(harmed):
    refuse(harmed(lambda file: file.create_group("/".join("abcdefghijkl"))), "CTD113")


def test_missing_chunks(harmed):
    def change(file):
        del file["signals/inputs"]
        file.create_dataset("signals/inputs", (6, 5, 1), "f4", chunks=(1, 5, 1), fletcher32=True)
        file["signals/inputs"][:3] = 1

    refuse(harmed(change), "CTD114")


def test_the_digest_gives_a_changed_value_away(harmed):
    def change(file):
        file["signals/spikes"][0, 0, 0] += 1

    path = harmed(change)
    with cc.open(path):
        pass
    assert [finding.code for finding in cc.validate(path)] == ["CTD116"]


@pytest.mark.parametrize("libver", ["earliest", "v108"])
def test_old_formats(tmp_path, libver):
    with h5py.File(tmp_path / "old.h5", "w", libver=(libver, "latest")) as file:
        file.attrs["ctd_complete"] = 1
    refuse(tmp_path / "old.h5", "CTD102")


def test_other_files(tmp_path):
    (tmp_path / "empty.h5").touch()
    (tmp_path / "text.h5").write_text("trial,time,neuron\n" * 100)
    (tmp_path / "signature.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    for name in ("empty.h5", "text.h5", "signature.h5", "missing.h5", "."):
        refuse(tmp_path / name, "CTD101")
    (tmp_path / "start.h5").write_bytes(b"\x89HDF\r\n\x1a\n\x03")
    refuse(tmp_path / "start.h5", "CTD103")


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    refuse(tmp_path / "pipe.h5", "CTD101")


@pytest.mark.parametrize("sixteenth", range(16))
def test_truncation(path, sixteenth):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * sixteenth // 16])
    refuse(path, "CTD101" if sixteenth == 0 else "CTD103")


def test_a_damaged_array_is_refused_when_it_is_read(path):
    """The checksum of a chunk fails only when the chunk is read."""
    with cc.open(path) as file:
        values = file.truth["rates"][:]
    data = bytearray(path.read_bytes())
    start = data.find(values.tobytes()[:64])
    assert start > 0
    data[start + 3] ^= 4
    path.write_bytes(data)
    with cc.open(path) as file:
        with pytest.raises(cc.ContractError, match="CTD103") as caught:
            file.truth["rates"][:]
        assert caught.value.path == "recording.h5:/truth/rates"
        assert file.truth["states"][:].shape == (6, 5, 2)
    assert [finding.code for finding in cc.validate(path)] == ["CTD103"]


def test_a_wrong_superblock_is_refused(path):
    data = bytearray(path.read_bytes())
    struct.pack_into("<Q", data, 12, 2**60)
    path.write_bytes(data)
    refuse(path, "CTD103")


@pytest.mark.parametrize("fill", [0, 255])
def test_a_lost_chunk_is_no_array_of_zeros(path, fill):
    """Fletcher32 alone takes a chunk of zeros, its checksum included, for sound."""
    with h5py.File(path) as file:
        place = file["signals/inputs"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[place.byte_offset : place.byte_offset + place.size] = bytes([fill]) * place.size
    path.write_bytes(data)
    with cc.open(path) as file, pytest.raises(cc.ContractError, match="CTD103"):
        file.signals["inputs"][:]
