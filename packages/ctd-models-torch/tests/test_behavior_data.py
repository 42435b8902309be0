"""Behaviour of a recording: how it is read, its scale, and which recordings have none to predict."""

import numpy as np
import pytest
import torch

import ctd_contract as cc
from ctd_contract.testing import make_recording
from ctd_models_torch.batch import Batch, measured_entries
from ctd_models_torch.config import RecordingConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.recording import Recording


def recording_with(path, behavior, *, lengths=None):
    """16 trials of 5 bins and 3 neurons, with this behaviour (trial, time, behavior)."""
    random = np.random.default_rng(0)
    with cc.create(
        path, "recording", name="hand", trial=np.arange(16), time=np.arange(5) * 0.01, bin_width_s=0.01,
        axes={"neuron": 3}, producer="test", config={}, seed=0,
    ) as writer:  # fmt: skip
        writer.column("trials", "split", np.repeat([0, 1, 2], [10, 3, 3]).astype(np.uint8))
        writer.column("neurons", "held_out", np.array([0, 0, 1], np.uint8))
        if lengths is not None:
            writer.column("trials", "length", lengths)
        kept = np.arange(5) < (np.full(16, 5) if lengths is None else lengths)[:, None]
        spikes = random.poisson(1.0, (16, 5, 3)) * kept[..., None]
        writer.signal("spikes", spikes.astype(np.uint8))
        if behavior is not None:
            writer.signal(
                "behavior", np.where(kept[..., None], behavior, 0.0).astype(np.float32), unit="mm/s"
            )
    return path


def test_the_scale_is_of_what_was_measured_in_the_training_trials(random, tmp_path):
    behavior = random.standard_normal((16, 5, 2)) * [1.0, 30.0] + [5.0, -200.0]
    behavior[:, 0] = np.nan
    behavior[3, 2, 1] = np.nan
    lengths = random.integers(2, 6, 16).astype(np.int32)
    path = recording_with(tmp_path / "r.h5", behavior, lengths=lengths)
    with cc.open(path) as file:
        data = Recording(file, RecordingConfig(inputs=None), behavior=True)
        center, scale = data.statistics(data.rows("train")).behavior
        assert (data.behavior_size, data.behavior_unit) == (2, "mm/s")
    kept = behavior[:10][np.arange(5) < lengths[:10, None]]
    np.testing.assert_allclose(center, np.nanmean(kept, axis=0), rtol=1e-5)
    np.testing.assert_allclose(scale, np.nanstd(kept, axis=0), rtol=1e-4)


def test_behavior_is_read_only_for_models_that_predict_it(recording):
    with cc.open(recording) as file:
        rows = np.array([4, 1])
        assert Batch.of(Recording(file, RecordingConfig()).read(rows)).behavior is None
        batch = Batch.of(Recording(file, RecordingConfig(), behavior=True).read(rows))
        np.testing.assert_array_equal(batch.behavior.numpy(), file.signals["behavior"][:][rows])
        measured = measured_entries(batch.behavior, torch.tensor([15, 6]))
        assert not measured[:, 0].any(), "the toy measures nothing in the first bin"
        assert measured[0, 1:].all()
        assert measured[1, 1:6].all()
        assert not measured[1, 6:].any()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda b: b[..., 1].fill(np.nan), r"behavior: channels \[1\] are measured in no training trial"),
        (lambda b: b[..., 0].fill(4.1), r"behavior: channels \[0\] are constant in the training trials"),
        (lambda b: b[:10].fill(np.nan), r"channels \[0, 1\] are measured in no training trial"),
    ],
)
def test_behavior_that_tells_nothing_is_refused(change, sentence, random, tmp_path):
    behavior = random.standard_normal((16, 5, 2))
    change(behavior)
    with cc.open(recording_with(tmp_path / "r.h5", behavior)) as file:
        data = Recording(file, RecordingConfig(inputs=None), behavior=True)
        with pytest.raises(InputError, match=sentence):
            data.statistics(data.rows("train"))


def test_a_recording_without_behavior_is_refused(recording, tmp_path):
    none = make_recording(tmp_path / "none.h5", n_trials=10, behavior=False)
    with cc.open(none) as file, pytest.raises(InputError, match="nothing, since it has no behaviour"):
        Recording(file, RecordingConfig(), behavior=True)
    with cc.open(recording) as file, pytest.raises(InputError, match="may name one of behavior"):
        Recording(file, RecordingConfig(behavior="inputs"), behavior=True)
