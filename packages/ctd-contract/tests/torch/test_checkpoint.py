import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors import safe_open

from ctd_contract.torch.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from ctd_contract.torch.training.checkpoint_io import SafeCheckpointIO

TREE = {
    "weights": {"layer.0": torch.arange(6.0).view(2, 3), "half": torch.ones(2, dtype=torch.bfloat16)},
    "optimizer": [{"state": {0: {"step": torch.tensor(3.0)}}, "betas": (0.9, 0.999), "fused": None}],
    "epoch": 4,
    "empty": {},
    "text": 'a "quoted" word',
    "flags": [True, 1, 1.5, float("inf")],
}


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


def test_round_trip_keeps_types_keys_and_bits(tmp_path):
    SafeCheckpointIO().save_checkpoint(TREE, tmp_path / "deep" / "c.safetensors")
    assert_same(load_checkpoint(tmp_path / "deep" / "c.safetensors"), TREE)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["c.safetensors"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_who_may_read_it_is_what_the_umask_says(tmp_path):
    before = os.umask(0o022)
    try:
        save_checkpoint(tmp_path / "c.safetensors", {"w": torch.zeros(3)})
    finally:
        os.umask(before)
    assert (tmp_path / "c.safetensors").stat().st_mode & 0o777 == 0o644


def test_tensors_can_be_found_by_name(tmp_path):
    save_checkpoint(tmp_path / "c", TREE)
    with safe_open(tmp_path / "c", framework="pt") as file:
        assert torch.equal(file.get_tensor("weights.layer.0"), TREE["weights"]["layer.0"])
        json.loads(file.metadata()["plain"])


def test_tensors_that_share_memory_and_names_that_meet_are_kept_apart(tmp_path):
    tied = torch.arange(4.0)
    tree = {
        "a": tied,
        "b": tied[:2],
        "x.y": torch.zeros(1),
        "x": {"y": torch.ones(1)},
        0: tied,
        "0": tied + 1,
    }
    save_checkpoint(tmp_path / "c", tree)
    assert_same(load_checkpoint(tmp_path / "c"), tree)


@pytest.mark.parametrize("value", [object(), {1.5: 2}, {"f": print}, b"bytes"])
def test_other_objects_are_refused_and_nothing_is_left(tmp_path, value):
    with pytest.raises(CheckpointError, match="a checkpoint"):
        save_checkpoint(tmp_path / "c", {"state": value})
    assert not list(tmp_path.iterdir())


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "c"
    save_checkpoint(path, TREE)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "none")


def test_a_killed_writer_leaves_the_older_checkpoint_whole(tmp_path):
    path = tmp_path / "c.safetensors"
    code = (
        "import itertools, sys, torch\n"
        "from ctd_contract.torch.checkpoint import save_checkpoint\n"
        "for k in itertools.count():\n"
        "    save_checkpoint(sys.argv[1], {'k': k, 'values': torch.full((300_000,), float(k))})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)])
    while not path.exists():
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    tree = load_checkpoint(path)
    assert (tree["values"] == tree["k"]).all()
