"""The command: exit codes, output for people and machines."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

import ctd_contract as cc
from ctd_contract.cli import main
from ctd_contract.testing import make_inference, make_recording, make_task


@pytest.fixture
def recording(tmp_path):
    return make_recording(tmp_path / "recording.h5", lengths=True)


def broken(path):
    """A recording whose split has a code that doesn't exist, sealed by the writer all the same."""
    with cc.create(
        path,
        "recording",
        name="broken",
        producer="test",
        trial=2,
        time=3,
        bin_width_s=0.01,
        axes={"neuron": 1},
    ) as writer:
        writer.signal("spikes", np.ones((2, 3, 1)))
        writer.column("trials", "split", [0, 7])
        writer.column("neurons", "held_out", [0])
    return path


def test_a_sound_file_is_clean(recording, capsys):
    assert main(["validate", str(recording)]) == 0
    assert capsys.readouterr().out.endswith("recording.h5: 0 errors, 0 warnings\n")


def test_errors_are_listed_and_exit_1(tmp_path, capsys):
    path = broken(tmp_path / "broken.h5")
    assert main(["validate", str(path)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("CTD304 error  broken.h5:/trials/split\n  expected ")
    assert "1 error," in out
    # The structure alone is sound.
    assert main(["validate", "--level", "structure", str(path)]) == 0


def test_findings_as_json(tmp_path, recording, capsys):
    path = broken(tmp_path / "broken.h5")
    assert main(["validate", "--json", str(recording), str(path)]) == 1
    clean, wrong = json.loads(capsys.readouterr().out)
    assert clean == {"path": str(recording), "findings": []}
    (finding,) = wrong["findings"]
    assert set(finding) == {"code", "severity", "path", "expected", "got", "fix"}
    assert (finding["code"], finding["severity"]) == ("CTD304", "error")


def test_a_wrong_parent_is_an_error(tmp_path, recording, capsys):
    other = make_recording(tmp_path / "other.h5")
    inference = make_inference(tmp_path / "inference.h5", recording)
    assert main(["validate", str(inference), "--parent", str(recording)]) == 0
    assert main(["validate", str(inference), "--parent", str(other)]) == 1
    assert "CTD506" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["validate", "inspect", "convert"])
@pytest.mark.parametrize("content", [None, b"", b"not HDF5" * 100, "half"])
def test_unreadable_files_exit_2(tmp_path, recording, command, content, capsys):
    path = tmp_path / "bad.h5"
    if content == "half":
        path.write_bytes(recording.read_bytes()[: recording.stat().st_size // 2])
    elif content is not None:
        path.write_bytes(content)
    more = [str(tmp_path / "out.h5")] if command == "convert" else []
    assert main([command, str(path), *more]) == 2
    printed = "".join(capsys.readouterr())
    assert "CTD" in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "out.h5").exists()


def test_inspect_shows_the_file_as_a_tree(tmp_path, recording, capsys):
    make_inference(tmp_path / "inference.h5", recording)
    assert main(["inspect", str(recording), str(tmp_path / "inference.h5")]) == 0
    out = capsys.readouterr().out
    with cc.open(recording) as file:
        identity, digest = file.id, file.digest
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for expected in (
        "recording.h5: recording 'toy recording'",
        "│ ├─ neuron 8 2 held out",
        "│ ├─ time 30 bins of 0.01 s",
        "│ └─ condition 2 left, right",
        "│ └─ phases go",
        "│ ├─ rates (trial, time, neuron) float32 spikes/s",
        "│ └─ readout 4 states -> 8 exp",
        "├─ producer ctd-contract.testing 1",
        f"└─ parent recording recording {identity}, digest {digest[:12]}...",
    ):
        assert expected in lines
    assert "trial 20 14 train, 2 valid, 4 test, of" in " ".join(lines)
    assert "affine, 4 states, 2 inputs (inputs), noise_std=0.0, within 1e-05 of its probe" in out


def test_inspect_says_when_dynamics_miss_their_probe(tmp_path, capsys):
    path = make_task(tmp_path / "task.h5")
    with h5py.File(path, "r+") as file:
        file["dynamics/parameters/bias_state"][0] += 1.0
    assert main(["inspect", str(path)]) == 0
    assert "dynamics  CTD404: expected" in capsys.readouterr().out


def lfads_file(path):
    data = np.random.default_rng(0).poisson(1.0, (20, 5, 3))
    with h5py.File(path, "w") as file:
        file["train_data"], file["valid_data"], file["psth"] = data[:15], data[15:], np.zeros(3)
    return path


def test_convert_there_and_back(tmp_path, capsys):
    source = lfads_file(tmp_path / "lfads.h5")
    target, back = tmp_path / "recording.h5", tmp_path / "back.h5"
    assert main(["convert", str(source), str(target), "--bin-width", "0.01", "--seed", "3"]) == 0
    printed = capsys.readouterr()
    assert "(lfads-torch) ->" in printed.out
    assert printed.err == "warning: lfads.h5: no place in a recording, left out: psth\n"
    assert main(["validate", str(target)]) == 0
    assert main(["convert", str(target), str(back), "--to", "lfads-torch"]) == 0
    with h5py.File(source) as before, h5py.File(back) as after:
        np.testing.assert_array_equal(after["test_recon_data"], before["valid_data"])


def test_convert_keeps_an_existing_target(tmp_path, capsys):
    source = lfads_file(tmp_path / "lfads.h5")
    arguments = ["convert", str(source), str(tmp_path / "out.h5"), "--bin-width", "0.01"]
    assert main(arguments) == 0
    assert main(arguments) == 2
    assert "CTD603" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


def test_convert_needs_formats_that_go_together(tmp_path, recording, capsys):
    assert main(["convert", str(recording), str(tmp_path / "out.h5"), "--to", "contract"]) == 2
    assert "contract to contract" in capsys.readouterr().err


def test_as_a_process(tmp_path, recording):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "ctd_contract", *arguments], cwd=tmp_path, capture_output=True, text=True
        )

    assert run("validate", "recording.h5").returncode == 0
    assert run("validate", "missing.h5").returncode == 2
    shown = run("--version")
    assert shown.returncode == 0
    assert shown.stdout.startswith("ctd-contract ")
    for command in ((), ("validate",), ("inspect",), ("convert",)):
        text = run(*command, "--help")
        assert text.returncode == 0
        assert "example" in text.stdout
    wrong = run("validate", "recording.h5", "--level", "deep")
    assert wrong.returncode == 2
    assert "choose from" in wrong.stderr
    ascii_only = subprocess.run(
        [sys.executable, "-m", "ctd_contract", "inspect", str(recording)],
        capture_output=True, env={"PYTHONIOENCODING": "ascii"}, text=True, check=True,
    )  # fmt: skip
    assert "|- axes" in ascii_only.stdout
