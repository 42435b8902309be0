"""The sub-commands: what they write, and how they refuse."""

import sys

import numpy as np
import pytest
from toys import digest_of, signals_of

import ctd_contract as cc
from ctd_contract.testing import make_recording
from ctd_models_torch.cli import main
from ctd_models_torch.config import FitConfig
from ctd_models_torch.derived.ablation import ablate
from ctd_models_torch.derived.files import Source
from ctd_models_torch.derived.sampling import SamplingConfig, sample
from ctd_models_torch.errors import InputError
from ctd_models_torch.fitting import fit
from ctd_models_torch.lfads.behavior_config import BANDConfig, BehaviorConfig
from ctd_models_torch.lfads.config import ControllerConfig, InitialEncoderConfig

CPU = "accelerator=cpu"


@pytest.fixture(scope="module")
def fitted(ragged, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    settings = FitConfig(max_epochs=1, batch_size=10, accelerator="cpu", tensorboard=False)
    config = BANDConfig(
        size=5,
        factors=3,
        initial_condition=4,
        encoder=InitialEncoderConfig(size=4),
        controller=ControllerConfig(size=4, controls=2, encoder_size=3),
        behavior=BehaviorConfig("per_bin"),
    )
    fit(ragged, folder, model=config, training=settings)
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def command(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["ctd-models-torch", *map(str, arguments)])
    with pytest.raises(SystemExit) as leaving:
        main()
    return leaving.value.code


def test_an_ablation_is_an_inference_file_that_says_so(fitted, ragged, monkeypatch):
    assert command(monkeypatch, "ablate", f"run={fitted}", f"data={ragged}", "out=none", CPU) == 0
    assert (
        command(monkeypatch, "ablate", f"run={fitted}", f"data={ragged}", "out=some", "keep=[3,4]", CPU) == 0
    )
    whole, none, some = (
        signals_of(path) for path in (fitted / "inference.h5", "none/inference.h5", "some/inference.h5")
    )
    assert not none["inferred_inputs"].any()
    kept = some["inferred_inputs"].any(axis=(0, 2))
    assert np.flatnonzero(kept).tolist() == [3, 4]
    np.testing.assert_allclose(
        some["inferred_inputs"][:, 3:5], whole["inferred_inputs"][:, 3:5], rtol=1e-5, atol=1e-7
    )
    assert {"rates", "factors", "behavior_prediction"} <= none.keys()
    assert not np.allclose(none["rates"], whole["rates"])
    with cc.open("some/inference.h5") as file:
        assert file.name == "band with inferred inputs of bins 3, 4 alone"
        assert file.provenance.config["ablation"] == {"keep": [3, 4]}
        assert file.provenance.config["model"]["name"] == "band"
        assert file.dynamics().inputs == ("inferred_inputs", "inputs")
    assert not cc.validate("some/inference.h5", level="full")


def test_samples_are_written_with_their_spread(fitted, ragged, monkeypatch):
    arguments = ("sample", f"run={fitted}", f"data={ragged}", "samples=5", CPU)
    assert command(monkeypatch, *arguments, "out=one", "name=mean of five") == 0
    sample(Source(fitted, ragged, "two.h5", accelerator="cpu"), SamplingConfig(5, memory_mb=1))
    one, two = signals_of("one/inference.h5"), signals_of("two.h5")
    with cc.open("one/inference.h5") as file, cc.open(ragged) as source:
        kept = source.valid_bins()
        assert file.name == "mean of five"
        assert file.provenance.config["sampling"] == {"samples": 5, "seed": 0}
        assert file.signals["rates_std"].unit == "spikes/s"
        assert file.signals["behavior_prediction_std"].unit == "cm"
    for name in ("rates", "states", "factors", "inferred_inputs", "behavior_prediction"):
        assert (one[f"{name}_std"][kept] > 0).all()
        assert not one[f"{name}_std"][~kept].any()
    for name, values in one.items():
        np.testing.assert_allclose(values, two[name], rtol=1e-4, atol=1e-4)
    assert not cc.validate("one/inference.h5", level="full")


def test_the_order_of_the_trials_in_the_file_changes_nothing(fitted, ragged, tmp_path):
    """Streams are named by the trials' ids, not by their rows."""
    settings = SamplingConfig(4)
    sample(Source(fitted, ragged, "all.h5", accelerator="cpu"), settings)
    rows = np.array([17, 2, 30])
    some = part_of(ragged, rows, tmp_path / "part.h5")
    sample(Source(fitted, some, "some.h5", accelerator="cpu"), settings)
    whole, part = signals_of("all.h5"), signals_of("some.h5")
    np.testing.assert_allclose(part["rates"], whole["rates"][rows], rtol=1e-4)
    np.testing.assert_allclose(part["rates_std"], whole["rates_std"][rows], rtol=1e-3, atol=1e-4)


def part_of(path, rows, target):
    """A recording of some trials of another, in this order."""
    axes = ("neuron", "region")
    with cc.open(path) as source, cc.create(
        target, "recording", name="part", trial=source.axis("trial")[rows], time=source.time,
        bin_width_s=source.bin_width_s, axes={name: source.axis(name) for name in axes},
        producer="test", config={}, seed=0,
    ) as writer:  # fmt: skip
        for name in ("split", "length"):
            writer.column("trials", name, source.tables["trials"][name][rows])
        for name in ("held_out", "region"):
            writer.column("neurons", name, source.tables["neurons"][name])
        writer.column("times", "forward", source.tables["times"]["forward"])
        for name in ("spikes", "inputs"):
            writer.signal(name, source.signals[name][:][rows], unit=source.signals[name].unit)
    return target


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ablate", "keep=[99]"], "keep=99: bins of this recording are 0 to 14"),
        (["sample", "samples=1"], "samples is at least 2"),
        (["sample", "accelerator=tpu"], "accelerator is one of auto, cpu, gpu, got tpu"),
        (["sample", "run=nowhere"], "there is no file nowhere/inference.h5"),
        (["sample", "sample_count=3"], "samples"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, sentence, fitted, ragged, monkeypatch, capsys):
    name, *given = arguments
    run = [] if given[0].startswith("run=") else [f"run={fitted}"]
    assert command(monkeypatch, name, *run, f"data={ragged}", "out=x", CPU, *given) == 2
    error = capsys.readouterr().err.strip()
    assert sentence in error
    assert "Traceback" not in error


def test_another_recording_is_refused(fitted, tmp_path):
    other = make_recording(tmp_path / "other.h5", n_neurons=9)
    with pytest.raises(InputError, match="number of neurons: expected 8, got 9"):
        ablate(Source(fitted, other, "x.h5", accelerator="cpu"))
    assert not (tmp_path / "x.h5").exists()


def test_a_finished_run_is_left_alone(fitted, ragged, monkeypatch, capsys):
    arguments = ("ablate", f"run={fitted}", f"data={ragged}", "out=none", CPU)
    assert command(monkeypatch, *arguments) == 0
    before = digest_of("none/inference.h5")
    assert command(monkeypatch, *arguments) == 0
    assert "already done" in capsys.readouterr().err
    assert digest_of("none/inference.h5") == before
