"""Principal-component regression brings recordings into one space, from training trials alone."""

from contextlib import ExitStack

import numpy as np
import pytest
import torch
from session_toys import BINS, CONDITIONS, LATENTS, latents, quick_fit, small_lfads, write_day

import ctd_contract as cc
from ctd_models_torch.batch import Batch
from ctd_models_torch.cli import COMMAND
from ctd_models_torch.config import GRUConfig, LinearReadoutConfig, RecordingConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.fitting import fit, prepare_all
from ctd_models_torch.lfads.read_in_config import ReadInConfig
from ctd_models_torch.recording import Recording
from ctd_models_torch.saved import load_model
from ctd_models_torch.sessions.align_cli import COMMAND as ALIGN
from ctd_models_torch.sessions.alignment import align, condition_averages
from ctd_models_torch.sessions.alignment_file import load_alignment, save_alignment
from ctd_models_torch.sessions.recordings import open_recordings

READING = RecordingConfig(inputs=None)


def averages_of(path, *, smoothing_s=0.0, column="condition"):
    with cc.open(path) as file:
        recording = Recording(file, READING)
        return condition_averages(recording, np.arange(BINS), column=column, smoothing_s=smoothing_s)


@pytest.fixture
def days(tmp_path):
    return [
        write_day(tmp_path / "a.h5", neurons=9, seed=1, held_out=2),
        write_day(tmp_path / "b.h5", neurons=6, seed=2, trials=32),
    ]


def read_in(path, aligned) -> np.ndarray:
    """Channels of one trial of each condition, (condition, bin, channel)."""
    with cc.open(path) as file:
        first = [int(np.flatnonzero(file.tables["trials"]["condition"] == c)[0]) for c in range(CONDITIONS)]
        seen = file.signals["activity"][:][first][..., ~file.held_out].astype(float)
    return seen @ aligned.weight.T + aligned.bias


def test_without_noise_the_same_condition_is_the_same_point_in_all_recordings(days):
    found = align([averages_of(path) for path in days], LATENTS, 0.0)
    first, second = (read_in(path, own) for path, own in zip(days, found, strict=True))
    np.testing.assert_allclose(first, second, atol=1e-4)
    assert [own.r2 for own in found] == pytest.approx([1.0, 1.0])
    flat = first.reshape(-1, LATENTS)
    covariance = np.cov(flat.T, bias=True)
    np.testing.assert_allclose(covariance, np.diag(covariance.diagonal()), atol=1e-4)
    assert covariance[0, 0] == pytest.approx(1.0, abs=1e-4)
    design = np.column_stack([latents().reshape(-1, LATENTS), np.ones(len(flat))])
    np.testing.assert_allclose(design @ np.linalg.lstsq(design, flat)[0], flat, atol=1e-3)


def test_the_way_back_gives_all_neurons_held_out_ones_too(days):
    found = align([averages_of(path) for path in days], LATENTS, 0.0)
    for path, own in zip(days, found, strict=True):
        average = averages_of(path).values
        np.testing.assert_allclose(read_in(path, own) @ own.readout.T + own.mean, average, atol=1e-3)


def test_averages_are_those_of_observed_training_bins(tmp_path, random):
    observed = random.random((20, BINS, 5)) > 0.3
    path = write_day(tmp_path / "a.h5", neurons=5, seed=1, noise=1.0, observed=observed)
    found = averages_of(path)
    with cc.open(path) as file:
        activity, condition = file.signals["activity"][:], file.tables["trials"]["condition"]
        train = file.split("train")
    assert found.conditions == [f"target {index}" for index in range(CONDITIONS)]
    for index in range(CONDITIONS):
        own = activity[train & (condition == index)].astype(float)
        with np.errstate(invalid="ignore"):
            number = np.isfinite(own).sum(0)
            expected = np.where(number > 0, np.nansum(own, 0) / np.maximum(number, 1), np.nan)
        np.testing.assert_allclose(found.values[index], expected, rtol=1e-5)


def test_any_column_of_the_trials_may_tell_conditions(days):
    found = averages_of(days[0], column="split")
    assert found.conditions == ["0"]
    with cc.open(days[0]) as file:
        expected = file.signals["activity"][:][file.split("train")].mean(0)
    np.testing.assert_allclose(found.values[0], expected, rtol=1e-4)


def test_smoothing_is_a_weighted_mean_over_time(tmp_path):
    path = write_day(tmp_path / "a.h5", neurons=3, seed=1)
    sharp, smooth = averages_of(path).values, averages_of(path, smoothing_s=0.01).values
    weight = np.exp(-0.5 * np.arange(4.0) ** 2)
    expected = (weight[:, None] * sharp[0, :4]).sum(0) / weight.sum()
    np.testing.assert_allclose(smooth[0, 0], expected, rtol=1e-5)


def test_conditions_are_matched_by_name_and_ridge_shrinks(tmp_path):
    """The second recording lacks a condition and has the others in another order."""
    days = [
        write_day(tmp_path / "a.h5", neurons=9, seed=1),
        write_day(tmp_path / "b.h5", neurons=6, seed=2, conditions=[3, 0, 2]),
    ]
    averages = [averages_of(path) for path in days]
    found = align(averages, LATENTS, 0.0)
    rows = averages[0].conditions.index("target 3"), averages[1].conditions.index("target 3")
    points = [
        own.values[row] @ aligned.weight.T + aligned.bias
        for own, row, aligned in zip(averages, rows, found, strict=True)
    ]
    np.testing.assert_allclose(points[0], points[1], atol=1e-4)
    shrunk = align(averages, LATENTS, 100.0)
    assert np.linalg.norm(shrunk[0].weight) < np.linalg.norm(found[0].weight)
    assert 0 < shrunk[0].r2 < 1


def test_models_start_in_that_space(days):
    """What encoders read of both recordings' trials of a condition is the same, and the way back fits."""
    model = small_lfads(
        read_in=ReadInConfig(3, initialize="principal_components", smoothing_s=0.0, ridge=0.0)
    )
    with ExitStack() as stack:
        data = open_recordings(days, READING, stack)
        module, _ = prepare_all(data, model, LinearReadoutConfig(), quick_fit(), 0)
        read, back = [], []
        for index, recording in enumerate(data):
            parts = module.model.one_session(index).session
            condition = recording.file.tables["trials"]["condition"]
            rows = np.array([np.flatnonzero(condition == c)[1] for c in range(CONDITIONS)])
            batch = Batch.of(recording.read(rows))
            channels = parts.read(parts.see(batch))
            read.append(channels)
            back.append((parts.readout(channels) - batch.data).abs().max().item())
    torch.testing.assert_close(read[0], read[1], atol=1e-3, rtol=0)
    assert max(back) < 1e-2


@pytest.mark.parametrize("trained", [True, False])
def test_a_read_in_is_trained_or_frozen(trained, days, tmp_path):
    settings = ReadInConfig(3, trained=trained, initialize="principal_components")
    model, training = small_lfads(read_in=settings), quick_fit(max_epochs=1)
    with ExitStack() as stack:
        data = open_recordings(days, READING, stack)
        module, _ = prepare_all(data, model, LinearReadoutConfig(), training, 0)
        start = {name: value.clone() for name, value in module.model.state_dict().items()}
    fitted = fit(days, tmp_path / "run", model=model, training=training, reading=READING)
    found = fitted.saved.model.state_dict()
    for name in ("sessions.0.read_in.weight", "sessions.1.read_in.bias"):
        assert torch.equal(start[name], found[name]) != trained
    assert not torch.equal(start["sessions.0.readout.weight"], found["sessions.0.readout.weight"])


def test_what_cannot_be_aligned_is_refused(days, tmp_path):
    averages = [averages_of(path) for path in days]
    with pytest.raises(InputError, match=r"48 averages .* of 13 neurons have 13 principal components"):
        align(averages, 14, 1.0)
    with pytest.raises(InputError, match=r"trials has no column target: read_in.conditions may name one of"):
        averages_of(days[0], column="target")
    others = [averages_of(write_day(tmp_path / f"{c}.h5", neurons=5, seed=3, conditions=[c])) for c in (0, 1)]
    with pytest.raises(
        InputError, match=r"no condition is in .* all recordings \(0: target 0; 1: target 1\)"
    ):
        align(others, 2, 1.0)
    settings = ReadInConfig(0, initialize="principal_components")
    with pytest.raises(InputError, match=r"needs a read-in: set model.read_in.size"):
        fit(
            days[0],
            tmp_path / "run",
            model=small_lfads(read_in=settings),
            training=quick_fit(),
            reading=READING,
        )
    with pytest.raises(ValueError, match=r"read_in.initialize is one of random, principal_components"):
        ReadInConfig(initialize="pca")


def test_the_command_writes_what_a_fit_can_start_from(days, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = align([averages_of(path, smoothing_s=0.02) for path in days], LATENTS, 1.0)
    listed = f"data=[{days[1]},{days[0]}]"
    assert ALIGN.invoke([listed, "size=3", "out=common", "threads=1"]) == 0
    assert "a: 7 neurons explain 9" in capsys.readouterr().err
    fitting = [listed, "model=lfads", "recording.inputs=null", "model.size=5", "model.factors=3"]
    fitting += [
        "training.max_epochs=1",
        "training.tensorboard=false",
        "training.accelerator=cpu",
        "threads=1",
    ]
    fitting += ["training.learning_rate=1e-12", "model.encoder.standardize=false"]
    from_file = [*fitting, "alignment=common/alignment.safetensors", "out=from_file"]
    assert COMMAND.invoke(from_file) == 0
    assert COMMAND.invoke([*fitting, "model.read_in.initialize=principal_components", "out=at_once"]) == 0
    weights = [load_model(name).model.state_dict() for name in ("from_file", "at_once")]
    for index, own in enumerate(found):
        for name, expected in (
            (f"sessions.{index}.read_in.weight", own.weight),
            (f"sessions.{index}.readout.weight", own.readout),
        ):
            for one in weights:
                np.testing.assert_allclose(one[name].numpy(), expected, rtol=1e-4, atol=1e-5)
    assert COMMAND.invoke(from_file) == 0
    assert "already done" in capsys.readouterr().err
    assert ALIGN.invoke([listed, "size=2", "out=common", "threads=1", "overwrite=true"]) == 0
    assert COMMAND.invoke(from_file) == 2, "another alignment is another run"
    assert "another configuration, input or version" in capsys.readouterr().err
    anew = [*from_file[:-1], "out=anew"]
    assert COMMAND.invoke(anew) == 2
    assert "from 7 neurons to 2 channels, and the model has one from 7 to 3" in capsys.readouterr().err


def test_alignments_of_other_recordings_and_models_are_refused(days, tmp_path, recording):
    path = tmp_path / "alignment.safetensors"
    with ExitStack() as stack:
        data = open_recordings(days, READING, stack)
        aligned = align([averages_of(day) for day in days], 3, 1.0)
        save_alignment(path, data, aligned)
        loaded = load_alignment(path, data[::-1])
    np.testing.assert_array_equal(loaded[1].weight, aligned[0].weight)
    assert loaded[0].r2 == aligned[1].r2

    def refused(match, file=path, model=None, recordings=days):
        options = {"model": model or small_lfads(), "training": quick_fit(), "alignment": file}
        reading = RecordingConfig() if recordings is recording else READING
        with pytest.raises(InputError, match=match):
            fit(recordings, tmp_path / "run", reading=reading, **options)

    refused("made of other recordings than .*recording.h5", recordings=recording)
    refused("there is no alignment at", tmp_path / "nothing.safetensors")
    refused("the model has none: set model.read_in.size to 3", recordings=[days[0]])
    refused("SequentialAutoencoder has none", model=GRUConfig(), recordings=[days[0]])
    (tmp_path / "other.safetensors").write_bytes(b"no checkpoint")
    refused("is damaged", tmp_path / "other.safetensors")
