"""Augmentations move what encoders see, within the trial, and keep what they should."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import batch_of, draw, model_of, shape_of

from ctd_models_torch.lfads.augmentation import jitter, shift
from ctd_models_torch.lfads.config import AugmentationConfig, InitialEncoderConfig, LFADSConfig
from ctd_models_torch.lfads.sample_validation import hidden_entries

LENGTHS = torch.tensor([9, 4, 1])


@pytest.fixture
def counts(random):
    values = torch.from_numpy(random.poisson(1.5, (3, 9, 5)).astype(np.float32))
    return torch.where((torch.arange(9) < LENGTHS[:, None])[..., None], values, 0.0)


@pytest.mark.parametrize("bins", [1, 2, 20])
def test_jitter_keeps_every_spike_in_its_trial(bins, counts):
    moved = jitter(counts, LENGTHS, bins, draw("jitter"))
    torch.testing.assert_close(moved.sum(1), counts.sum(1))
    assert not moved[1, 4:].any()
    assert not moved[2, 1:].any()
    assert not torch.equal(moved, counts)


def test_jitter_is_uniform_and_reflects_at_the_ends():
    """A spike in bin 0 of 9 moved by -2..2 lands in 1, 0, 0, 1, 2: the edge lies before bin 0."""
    counts = torch.zeros(1, 9, 1)
    counts[0, 0], counts[0, 4] = 50_000, 50_000
    share = jitter(counts, torch.tensor([9]), 2, draw("jitter"))[0, :, 0] / 50_000
    expected = torch.tensor([0.4, 0.4, 0.2 + 0.2, 0.2, 0.2, 0.2, 0.2, 0.0, 0.0])
    torch.testing.assert_close(share, expected, rtol=0, atol=0.01)


def test_shift_repeats_the_ends(counts):
    shifted = shift(counts, LENGTHS, 2.0, 3, draw("shift"))
    assert not shifted[1, 4:].any()
    torch.testing.assert_close(shifted[2], counts[2])
    for trial, length in enumerate(LENGTHS.tolist()):
        for neuron in range(5):
            row, found = counts[trial, :length, neuron], shifted[trial, :length, neuron]
            candidates = [row[(torch.arange(length) - by).clamp(0, length - 1)] for by in range(-3, 4)]
            assert any(torch.equal(found, candidate) for candidate in candidates)


def test_shifts_differ_between_neurons_and_have_the_spread_asked_for():
    ramp = torch.arange(101.0)[None, :, None].expand(1, 101, 4000)
    by = 50 - shift(ramp, torch.tensor([101]), 3.0, 6, draw("shift"))[0, 50]
    assert by.abs().max() == 6
    assert by.std().item() == pytest.approx(2.8, abs=0.15)


def test_kept_back_entries_are_the_trials_own_and_of_the_share_asked_for():
    rows = torch.arange(50)
    hidden = hidden_entries(rows, torch.Size((50, 20, 10)), rate=0.2, seed=0)
    assert hidden.float().mean().item() == pytest.approx(0.2, abs=0.01)
    some = hidden_entries(rows[[7, 3]], torch.Size((2, 20, 10)), rate=0.2, seed=0)
    torch.testing.assert_close(some, hidden[[7, 3]])
    other = hidden_entries(rows, torch.Size((50, 20, 10)), rate=0.2, seed=1)
    assert (hidden & other).float().mean().item() == pytest.approx(0.04, abs=0.01)
    assert len({tuple(trial.flatten().tolist()) for trial in hidden}) == 50


def test_kept_back_entries_are_neither_seen_nor_trained_on(random):
    config = LFADSConfig(
        size=4,
        factors=3,
        initial_condition=3,
        encoder=InitialEncoderConfig(4, standardize=False),
        coordinated_dropout=0.0,
        augmentation=AugmentationConfig(sample_validation=0.3),
    )
    model, batch = model_of(config, shape_of()), batch_of(random, shape_of())
    hidden = model.session.kept_back(batch)
    assert not hidden[..., 4:].any(), "held-out neurons are hidden anyway"
    seen, weight = model.session.shown(batch, draw)
    assert not seen[model.session.view.see(hidden)].any()
    assert not weight[hidden].any()
    torch.testing.assert_close(
        weight[..., :4][~hidden[..., :4]], torch.full(((~hidden[..., :4]).sum(),), 1 / 0.7)
    )
    assert (weight[..., 4:] == 1).all()
    inferred = model.infer(batch)
    assert model.figures(inferred, batch)["sample_validation"].shape == (5,)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("moved", [{"jitter_bins": 2}, {"shift_std": 2.0}], ids=str)
def test_kept_back_entries_are_not_moved_to_where_they_are_seen(moved, standardize, random):
    config = LFADSConfig(
        size=4,
        factors=3,
        initial_condition=3,
        encoder=InitialEncoderConfig(4, standardize=standardize),
        augmentation=AugmentationConfig(sample_validation=0.3, **moved),
    )
    model, batch = model_of(config, shape_of()), batch_of(random, shape_of(), lengths=[7, 3, 5, 7, 1])
    hidden = model.session.kept_back(batch) & batch.scored
    other = replace(batch, data=torch.where(hidden, 9.0, batch.data))
    first, second = (model.session.shown(each, draw)[0] for each in (batch, other))
    assert first.any()
    torch.testing.assert_close(first, second, rtol=0, atol=0)
