import subprocess
import sys

import pytest
import torch

from ctd_contract.torch.batches import TensorBatches
from ctd_contract.torch.random import generator

CPU = torch.device("cpu")


def drawn(*keys):
    return torch.rand(4, generator=generator(*keys)).tolist()


def test_streams_depend_on_every_key_and_on_nothing_else():
    keys = [(0, "noise", 1, 2), (1, "noise", 1, 2), (0, "mask", 1, 2), (0, "noise", 2, 2), (0, "noise", 12)]
    assert len({tuple(drawn(*key)) for key in keys}) == len(keys)
    before = torch.get_rng_state()
    assert drawn(*keys[0]) == drawn(*keys[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_streams_are_the_same_in_another_process():
    code = (
        "import torch; from ctd_contract.torch.random import generator; "
        "print(torch.rand(4, generator=generator(3, 'x', 5)).tolist())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(drawn(3, "x", 5))


def test_keys_of_other_types_are_refused():
    with pytest.raises(TypeError, match=r"integers and strings, got 1\.5"):
        generator(0, 1.5)


def rows(batches, epoch):
    return torch.cat([batch["row"] for batch in batches.epoch(epoch, CPU)])


def test_every_epoch_has_every_trial_once_in_an_order_of_its_own():
    batches = TensorBatches({"row": torch.arange(23), "other": torch.arange(23) * 2}, 5, shuffle=True, seed=1)
    first, second = rows(batches, 0), rows(batches, 1)
    assert torch.equal(first.sort().values, torch.arange(23))
    assert not torch.equal(first, second)
    assert torch.equal(rows(batches, 0), first)
    assert len(batches) == len(list(batches.epoch(0, CPU))) == 5
    assert all(torch.equal(batch["other"], 2 * batch["row"]) for batch in batches.epoch(2, CPU))


def test_without_shuffling_the_order_stays_and_a_short_batch_can_be_dropped():
    batches = TensorBatches({"row": torch.arange(23)}, 5, shuffle=False, drop_last=True)
    assert torch.equal(rows(batches, 7), torch.arange(20))
    assert len(batches) == 4


def test_tensors_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"one number of trials.*'b': 3"):
        TensorBatches({"a": torch.zeros(2), "b": torch.zeros(3)}, 2, shuffle=False)
