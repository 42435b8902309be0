import subprocess
import sys

import pytest
import torch

from ctd_contract.torch.batches import TensorBatches
from ctd_contract.torch.random import bernoulli, chance, generator

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
        "import torch; from ctd_contract.torch.random import bernoulli, chance, generator; "
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


@pytest.mark.parametrize("probability", [0.0, 1e-9, 0.02, 0.3, 0.5, 0.98, 1.0])
def test_bernoulli_is_true_with_its_chance(probability):
    drawn = bernoulli((40, 50, 501), probability, generator(0, "mask"))
    assert drawn.dtype == torch.bool
    assert drawn.shape == (40, 50, 501)
    expected = chance(probability)
    assert abs(expected - probability) <= 2**-16
    spread = (expected * (1 - expected) / drawn.numel()) ** 0.5
    assert abs(drawn.double().mean().item() - expected) <= 5 * spread
    assert (0 < expected < 1) == (0 < probability < 1)


def test_bernoulli_draws_independently_and_the_same_again():
    drawn = bernoulli((1_000_003,), 0.3, generator(0, "mask"))
    assert torch.equal(drawn, bernoulli((1_000_003,), 0.3, generator(0, "mask")))
    assert not torch.equal(drawn, bernoulli((1_000_003,), 0.3, generator(1, "mask")))
    stream = generator(0, "mask")
    assert not torch.equal(bernoulli((1000,), 0.3, stream), bernoulli((1000,), 0.3, stream))
    centered = drawn.double() - chance(0.3)
    for lag in (1, 2, 3, 4, 5, 8):
        correlation = (centered[lag:] * centered[:-lag]).mean() / 0.21
        assert abs(correlation) < 5e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(300, 7), (0, 7)])
def test_masks_of_numbers_are_those_of_truths(dtype, shape):
    drawn = bernoulli(shape, 0.3, generator(0, "mask"), dtype=dtype, value=2.5)
    assert drawn.dtype == dtype
    assert torch.equal(drawn, 2.5 * bernoulli(shape, 0.3, generator(0, "mask")).to(dtype))


def test_a_probability_is_checked():
    with pytest.raises(ValueError, match="a probability is in"):
        chance(1.5)
