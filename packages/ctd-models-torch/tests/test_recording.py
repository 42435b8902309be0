"""Reading recordings: the same batches from memory and from the file, and clear refusals."""

import numpy as np
import pytest
import torch

import ctd_contract as cc
from ctd_contract.testing import make_recording, make_task
from ctd_models_torch.batch import Batch
from ctd_models_torch.config import RecordingConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.recording import Recording

CPU = torch.device("cpu")


def test_streamed_batches_equal_those_in_memory(ragged):
    with cc.open(ragged) as file:
        held, streamed = Recording(file, RecordingConfig()), Recording(file, RecordingConfig(memory_mb=0))
        assert held.in_memory
        assert not streamed.in_memory
        rows = held.rows("train")
        pairs = [r.batches(rows, 7, shuffle=True, seed=3).epoch(2, CPU) for r in (held, streamed)]
        for first, second in zip(*pairs, strict=True):
            assert first.keys() == second.keys()
            for name, tensor in first.items():
                torch.testing.assert_close(tensor, second[name], rtol=0, atol=0)


def test_an_epoch_visits_every_training_trial_once_in_its_own_order(recording):
    with cc.open(recording) as file:
        data = Recording(file, RecordingConfig())
        batches = data.batches(data.rows("train"), 6, shuffle=True, seed=1)

        def order(epoch):
            return torch.cat([batch["rows"] for batch in batches.epoch(epoch, CPU)]).tolist()

        assert sorted(order(0)) == data.rows("train").tolist()
        assert order(0) == order(0) != order(1)
        assert len(batches) == len(list(batches.epoch(0, CPU)))


def test_batches_hold_what_the_file_holds(ragged):
    with cc.open(ragged) as file:
        data = Recording(file, RecordingConfig())
        batch = Batch.of(data.read(np.array([5, 2, 11])))
        np.testing.assert_array_equal(batch.data.numpy(), file.signals["spikes"][:][[5, 2, 11]])
        np.testing.assert_array_equal(batch.inputs.numpy(), file.signals["inputs"][:][[5, 2, 11]])
        np.testing.assert_array_equal(batch.scored[..., 0].numpy(), file.valid_bins()[[5, 2, 11]])
        assert data.view().bins.tolist() == np.flatnonzero(~file.forward).tolist()
        assert data.view().neurons.tolist() == np.flatnonzero(~file.held_out).tolist()
        assert data.view(window=4).bins.tolist() == [0, 1, 2, 3]


def test_statistics_leave_the_padding_out(ragged):
    with cc.open(ragged) as file:
        data = Recording(file, RecordingConfig())
        rows = data.rows("train")
        scored = file.signals["spikes"][:][rows][file.valid_bins()[rows]].astype(float)
        found = data.statistics(rows)
        np.testing.assert_allclose(found.mean, scored.mean(0))
        np.testing.assert_allclose(found.variance, scored.var(0))


def test_unobserved_nan_is_read_as_nothing(tmp_path, random):
    activity = random.standard_normal((10, 5, 3)).astype(np.float32)
    observed = random.random((10, 5, 3)) > 0.3
    activity[~observed] = np.nan
    split = np.repeat([0, 1, 2], [6, 2, 2]).astype(np.uint8)
    path = tmp_path / "activity.h5"
    arguments = {"name": "a", "producer": "test 0", "trial": 10, "time": 5, "bin_width_s": 0.01}
    with cc.create(path, "recording", **arguments) as writer:
        writer.column("trials", "split", split)
        writer.signal("activity", activity, unit="dF/F")
        writer.signal("observed", observed.astype(np.uint8))
        writer.column("neurons", "held_out", np.zeros(3, np.uint8))
    with cc.open(path) as file:
        data = Recording(file, RecordingConfig(inputs=None))
        batch = Batch.of(data.read(np.arange(10)))
        assert data.signal == "activity"
        assert batch.inputs is None
        assert torch.isfinite(batch.data).all()
        np.testing.assert_array_equal(batch.scored.numpy(), observed)
        np.testing.assert_allclose(
            data.statistics(np.arange(10)).mean, np.nanmean(activity, (0, 1)), rtol=1e-5
        )


def test_other_files_and_inputs_are_refused_with_what_to_do(recording, tmp_path):
    def refused(path, inputs, match):
        with cc.open(path) as file, pytest.raises(InputError, match=match):
            Recording(file, RecordingConfig(inputs=inputs))

    refused(make_task(tmp_path / "task.h5"), "inputs", "kind task.*simulate spikes")
    refused(recording, "input", r"no signal input \(did you mean inputs\?\)")
    refused(recording, "inferred_inputs", "what a model infers")
    refused(recording, "spikes", r"spikes has the axes .*: recording.inputs may name one of inputs")
    silent = make_recording(tmp_path / "silent.h5", n_inputs=0)
    refused(silent, "inputs", "has no channels.*recording.inputs=null fits a model without known inputs")


def test_a_recording_without_a_split_is_refused(tmp_path, random):
    path = tmp_path / "all_test.h5"
    arguments = {"name": "a", "producer": "test 0", "trial": 4, "time": 5, "bin_width_s": 0.01}
    with cc.create(path, "recording", **arguments) as writer:
        writer.column("trials", "split", np.full(4, 2, np.uint8))
        writer.signal("spikes", random.poisson(1, (4, 5, 3)).astype(np.uint8))
        writer.column("neurons", "held_out", np.ones(3, np.uint8))
    with cc.open(path) as file:
        data = Recording(file, RecordingConfig(inputs=None))
        with pytest.raises(InputError, match="no trial is in the split 'train'"):
            data.rows("train")
        with pytest.raises(InputError, match="all neurons are held out"):
            data.view()
