"""Whole fits of several recordings: their files, scores, resuming, and predictions from them."""

import csv
import json
import math

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from session_toys import SMALL, halves, quick_fit, small_lfads, two_days
from toys import digest_of, signals_of

import ctd_contract as cc
from ctd_contract.command.sessions import INDEX
from ctd_contract.testing import make_recording
from ctd_models_torch.cli import COMMAND
from ctd_models_torch.config import RecordingConfig
from ctd_models_torch.errors import InputError
from ctd_models_torch.fitting import fit
from ctd_models_torch.lfads.behavior_config import BANDConfig
from ctd_models_torch.lfads.config import AugmentationConfig, ControllerConfig, KLConfig, RampConfig
from ctd_models_torch.prediction import predict
from ctd_models_torch.saved import load_model
from ctd_models_torch.sessions.arguments import name_files
from ctd_models_torch.training import ModelTraining

NAMES = ("monday", "tuesday")
FILES = [f"inference_{name}.h5" for name in NAMES]


def full_model():
    augmentation = AugmentationConfig(jitter_bins=1, sample_validation=0.1)
    controller = ControllerConfig(size=4, controls=2, encoder_size=3)
    return small_lfads(controller=controller, dropout=0.1, augmentation=augmentation)


SETTINGS = quick_fit(schedule="plateau", smoothing=0.3, optimizer="adamw", weight_decay=1e-3)


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    return two_days(tmp_path_factory.mktemp("days"))


@pytest.fixture(scope="module")
def run(days, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    torch.set_num_threads(1)
    fit(days, folder, model=full_model(), training=SETTINGS, run="r1", seed=4)
    return folder


def weights_of(folder) -> dict[str, torch.Tensor]:
    return load_model(folder).model.state_dict()


def assert_same(first, second) -> None:
    one, other = weights_of(first), weights_of(second)
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def metrics_of(folder) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_each_recording_gets_a_file_of_one_run(run, days):
    listed = json.loads((run / INDEX).read_text())["sessions"]
    assert [row["file"] for row in listed] == FILES
    assert not (run / "inference.h5").exists()
    for row, day in zip(listed, days, strict=True):
        with cc.open(run / row["file"]) as file, cc.open(day) as source:
            assert (row["id"], row["digest"], row["name"]) == (source.id, source.digest, source.name)
            assert file.provenance.parents[0].id == source.id
            assert (file.provenance.run, file.provenance.seed) == ("r1", 4)
            np.testing.assert_array_equal(file.axis("neuron"), source.axis("neuron"))
            kept = file.valid_bins()
            replayed = file.readout().evaluate(file.signals["states"][:])
            np.testing.assert_allclose(replayed[kept], file.signals["rates"][:][kept], rtol=1e-3)
            assert file.dynamics().inputs == ("inferred_inputs", "inputs")
    first, second = (cc.open(run / name) for name in FILES)
    with first, second:
        np.testing.assert_array_equal(
            first.dynamics().parameters["weight_state"], second.dynamics().parameters["weight_state"]
        )


def test_the_order_of_the_recordings_changes_nothing(run, days, tmp_path):
    fit(days[::-1], tmp_path, model=full_model(), training=SETTINGS, run="r1", seed=4)
    assert_same(run, tmp_path)
    assert (tmp_path / "metrics.csv").read_text() == (run / "metrics.csv").read_text()
    assert [digest_of(tmp_path / name) for name in FILES] == [digest_of(run / name) for name in FILES]


def test_streamed_recordings_give_the_same(run, days, tmp_path):
    fit(days, tmp_path, model=full_model(), training=SETTINGS, seed=4, reading=RecordingConfig(memory_mb=0))
    assert [digest_of(tmp_path / name) for name in FILES] == [digest_of(run / name) for name in FILES]


def test_a_list_of_one_is_that_one(days, tmp_path):
    for name, recording in (("alone", days[0]), ("listed", [days[0]])):
        fit(recording, tmp_path / name, model=full_model(), training=SETTINGS)
    assert digest_of(tmp_path / "alone/inference.h5") == digest_of(tmp_path / "listed/inference.h5")
    assert_same(tmp_path / "alone", tmp_path / "listed")


def test_an_interrupted_fit_ends_alike(run, days, tmp_path, monkeypatch):
    """Killed in training, and again when some of the files were written."""
    losses = ModelTraining.losses

    def dying(self, batch, draw):
        if self.current_epoch == 2:
            raise RuntimeError("killed")
        return losses(self, batch, draw)

    def go_on(**options):
        fit(days, tmp_path, model=full_model(), training=SETTINGS, run="r1", seed=4, **options)

    with monkeypatch.context() as patch:
        patch.setattr(ModelTraining, "losses", dying)
        with pytest.raises(RuntimeError, match="killed"):
            go_on()
    go_on(resume=True)
    assert_same(run, tmp_path)
    (tmp_path / FILES[1]).unlink()
    (tmp_path / INDEX).unlink()
    go_on(resume=True)
    assert (tmp_path / INDEX).read_text() == (run / INDEX).read_text()
    assert [digest_of(tmp_path / name) for name in FILES] == [digest_of(run / name) for name in FILES]


def bits_per_spike(rates, spikes, kept, mask) -> float:
    """Of Poisson's, over constant rates of each neuron in the same entries."""
    entries = kept[..., None] & mask
    counts = np.where(entries, spikes, 0).astype(float)
    mean = counts.sum((0, 1)) / np.maximum(entries.sum((0, 1)), 1)

    def nll(expected):
        safe = np.where(entries, expected, 1.0)
        return np.where(entries, safe - counts * np.log(safe), 0.0).sum()

    return (nll(np.broadcast_to(np.maximum(mean, 1e-12), counts.shape)) - nll(rates)) / (
        counts.sum() * math.log(2.0)
    )


def test_scores_of_each_recording_are_its_own_and_the_mean_is_theirs(tmp_path):
    days = two_days(tmp_path, both={"mean_rate_hz": 60.0, "n_forward": 4})
    fitted = fit(days, tmp_path, model=small_lfads(), training=quick_fit(max_epochs=2))
    (row,) = [r for r in metrics_of(tmp_path) if r["epoch"] == fitted.training.best_epoch]
    assert fitted.training.best_score == pytest.approx(row["valid/loss"])
    for name, day, path in zip(NAMES, days, fitted.paths, strict=True):
        with cc.open(day) as file:
            rows = file.split("valid")
            spikes, kept = file.signals["spikes"][:][rows], file.valid_bins()[rows]
            forward, held_out, width = file.forward[:, None], file.held_out[None], file.bin_width_s
        expected = signals_of(path)["rates"][rows].astype(float) * width
        masks = {
            "bps": ~forward & ~held_out,
            "co_bps": ~forward & held_out,
            "fp_bps": forward & np.ones_like(held_out),
        }
        for score, mask in masks.items():
            found = row[f"valid/{score}/{name}"]
            assert found == pytest.approx(bits_per_spike(expected, spikes, kept, mask), abs=2e-4), score
        safe = np.where(kept[..., None], expected, 1.0)
        loss = (safe - spikes * np.log(safe))[kept].mean()
        assert row[f"valid/loss/{name}"] == pytest.approx(loss, rel=1e-4)
    for score in ("loss", "bps", "co_bps", "fp_bps"):
        each = [row[f"valid/{score}/{name}"] for name in NAMES]
        assert row[f"valid/{score}"] == pytest.approx(np.mean(each), rel=1e-6)


def test_a_score_that_not_all_recordings_have_is_the_mean_of_those_that_do(tmp_path):
    days = two_days(tmp_path, n_held_out=0)
    fit(days, tmp_path / "run", model=small_lfads(), training=quick_fit(max_epochs=1))
    (row,) = metrics_of(tmp_path / "run")
    assert row["valid/co_bps"] == pytest.approx(row["valid/co_bps/monday"])
    assert "valid/co_bps/tuesday" not in row


def test_all_recordings_are_predicted_better_than_by_mean_rates(tmp_path):
    model = small_lfads(size=16, factors=5, kl=KLConfig(ramp=RampConfig(0, 5)))
    settings = quick_fit(max_epochs=40, batch_size=20, learning_rate=2e-2)
    fit(halves(tmp_path), tmp_path / "run", model=model, training=settings)
    best = min(metrics_of(tmp_path / "run"), key=lambda row: row["valid/loss"])
    for name in ("even", "odd"):
        assert best[f"valid/bps/{name}"] > 0.08
        assert best[f"valid/co_bps/{name}"] > 0.05


def test_each_recording_has_a_behaviour_of_its_own_and_none_may_lack_it(days, tmp_path):
    settings = quick_fit(max_epochs=1)
    fitted = fit(days, tmp_path / "run", model=BANDConfig(**SMALL), training=settings)
    (row,) = metrics_of(tmp_path / "run")
    each = [row[f"valid/behavior_r2/{name}"] for name in NAMES]
    assert row["valid/behavior_r2"] == pytest.approx(np.mean(each))
    first, second = (parts.behavior.state_dict() for parts in fitted.saved.model.all_parts)
    assert not torch.equal(first["center"], second["center"])
    for name, day in zip(FILES, days, strict=True):
        predict(tmp_path / "run", day, tmp_path / name, accelerator="cpu")
        assert digest_of(tmp_path / name) == digest_of(tmp_path / "run" / name)
    bare = two_days(tmp_path, behavior=False)
    with pytest.raises(InputError, match=r"tuesday.h5 has no signal behavior .* model=lfads predicts none"):
        fit(bare, tmp_path / "none", model=BANDConfig(**SMALL), training=settings)


def test_the_training_files_give_the_exports(run, days, tmp_path):
    for name, day in zip(FILES, days, strict=True):
        predict(run, day, tmp_path / name, accelerator="cpu")
        assert digest_of(tmp_path / name) == digest_of(run / name)


def test_a_recording_is_matched_by_its_neurons_and_then_by_its_name(run, tmp_path):
    shape = {"n_time": 15, "n_forward": 2, "n_trials": 7, "seed": 9}
    later = make_recording(tmp_path / "later.h5", **shape, n_neurons=11, n_held_out=3, name="wednesday")
    predict(run, later, tmp_path / "out.h5", accelerator="cpu")
    assert signals_of(tmp_path / "out.h5")["rates"].shape == (7, 15, 11)
    other = make_recording(tmp_path / "other.h5", **shape, n_neurons=12)
    with pytest.raises(
        InputError, match=r"none of the 2 .*monday: .*expected 8, got 12; tuesday: .*expected 11"
    ):
        predict(run, other, tmp_path / "none.h5")
    with pytest.raises(InputError, match="session=friday: the model was fitted to monday, tuesday"):
        predict(run, later, tmp_path / "none.h5", session="friday")
    with pytest.raises(InputError, match="number of neurons: expected 8, got 11"):
        predict(run, later, tmp_path / "none.h5", session="monday")


def test_several_matches_are_told_apart_by_a_setting(tmp_path):
    days = [
        make_recording(tmp_path / f"{name}.h5", n_time=15, n_trials=20, name=name, seed=seed)
        for seed, name in enumerate(NAMES)
    ]
    fit(days, tmp_path / "run", model=small_lfads(), training=quick_fit(max_epochs=1))
    new = make_recording(tmp_path / "new.h5", n_time=15, n_trials=6, name="new")
    with pytest.raises(InputError, match=r"say which .* session= one of monday, tuesday"):
        predict(tmp_path / "run", new, tmp_path / "out.h5")
    rates = []
    for name in NAMES:
        predict(tmp_path / "run", new, tmp_path / f"{name}_out.h5", session=name, accelerator="cpu")
        rates.append(signals_of(tmp_path / f"{name}_out.h5")["rates"])
    assert not np.allclose(*rates)
    predict(tmp_path / "run", days[1], tmp_path / "own.h5", accelerator="cpu")
    assert digest_of(tmp_path / "own.h5") == digest_of(tmp_path / "run" / FILES[1])


ARGUMENTS = [
    "model=lfads",
    "model.size=5",
    "model.factors=3",
    "model.encoder.size=4",
    "training.max_epochs=1",
    "training.batch_size=10",
    "training.accelerator=cpu",
    "training.tensorboard=false",
    "threads=1",
]


def test_the_command_fits_a_list_or_a_pattern_and_predicts(days, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    listed = f"data=[{','.join(map(str, days))}]"
    assert COMMAND.invoke([listed, "out=fit", *ARGUMENTS]) == 0
    assert name_files(f"data={days[0].parent}/*day.h5") == listed
    spaced = tmp_path / "a day's (first).h5"
    spaced.symlink_to(days[0])
    quoted = name_files(f"data={tmp_path}/a*.h5")
    assert COMMAND.invoke([quoted, "model.size=4", "--cfg", "job"]) == 0
    assert OmegaConf.create(capsys.readouterr().out).data == [str(spaced)]
    assert COMMAND.invoke([listed, "out=fit", *ARGUMENTS]) == 0
    assert "already done: fit/sessions.json" in capsys.readouterr().err
    with cc.open(f"fit/{FILES[1]}") as file:
        assert file.provenance.config["data"] == ["monday.h5", "tuesday.h5"]
    assert name_files("predict=fit/sessions.json") == name_files("predict=fit") == f"predict=fit/{FILES[0]}"
    assert name_files("predict='fit/sessions.json'") == f"predict=fit/{FILES[0]}"
    assert name_files(f"predict='fit/{FILES[1]}'") == f"predict='fit/{FILES[1]}'"
    assert name_files("predict='a\\'s/sessions.json'") == "predict='a\\'s/inference.h5'"
    predicting = [name_files("predict=fit"), f"data={days[1]}", "training.accelerator=cpu", "threads=1"]
    assert COMMAND.invoke([*predicting, "out=new"]) == 0
    assert digest_of("new/inference.h5") == digest_of(f"fit/{FILES[1]}")
    assert COMMAND.invoke([*predicting, "out=called", "name=later"]) == 0
    with cc.open("called/inference.h5") as file:
        assert file.name == "later"
    assert COMMAND.invoke([*predicting, "out=other", "session=monday"]) == 2
    assert "number of neurons: expected 8, got 11" in capsys.readouterr().err
    assert COMMAND.invoke([listed, "out=gru", *ARGUMENTS, "model=gru", "model.factors=3"]) == 2
    assert "'model.factors' is a setting of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["data=[a.h5,b.h5]", "predict=run/inference.h5"], "a prediction is of one recording, got 2 in data"),
        (["data=a.h5", "predict=run/inference.h5", "alignment=b.safetensors"], "leave one out"),
        (["data=a.h5", "session=a"], "session is for a fitted model: name its run with predict=FOLDER"),
        (["data=[]"], "data is a file or a list of files"),
        (["data=5"], "data is a file or a list of files"),
        (["data=[nowhere.h5,b.h5]"], "there is no file nowhere.h5"),
        ([name_files("data=nowhere/*.h5")], "there is no file nowhere/*.h5"),
    ],
)
def test_bad_lists_are_one_sentence_and_exit_code_2(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert COMMAND.invoke([*arguments, "out=x"]) == 2
    error = capsys.readouterr().err.strip()
    assert sentence in error
    assert "Traceback" not in error
