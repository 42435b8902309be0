"""The command: what it leaves behind, what it says, and its exit codes."""

import shlex

import numpy as np
import pytest

import ctd_contract as cc
from ctd_analysis.cli import COMMAND
from ctd_contract.testing import make_inference, make_recording, make_task

FAST = ["n_resamples=20", "n_examples=2", "search.n_starts=20", "threads=1"]


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_recording("recording.h5", n_trials=30, n_states=3)
    for seed in (0, 1):
        make_inference(f"model{seed}.h5", "recording.h5", seed=seed, name="toy")
    return tmp_path


@pytest.fixture
def no_report(monkeypatch):
    """Drawing takes seconds; the first test does it."""
    monkeypatch.setattr("ctd_analysis.report.write_report", lambda result, folder: None)


ARGUMENTS = ["truth=recording.h5", "inference=[model0.h5,model1.h5]", *FAST]


def test_leaves_the_file_the_table_the_report_and_figures(files, capsys):
    assert COMMAND.invoke([*ARGUMENTS, "out=run"]) == 0
    run = files / "run"
    assert {path.name for path in run.iterdir()} >= {
        "analysis.h5",
        "metrics.csv",
        "seeds.csv",
        "report.html",
        "figures",
        "config.yaml",
    }
    assert {path.suffix for path in (run / "figures").iterdir()} == {".png", ".svg"}
    assert cc.validate(run / "analysis.h5", level="full") == []
    with cc.open(run / "analysis.h5") as file:
        assert set(file.tables["metrics"]["model"]) == {"truth", "toy"}
        assert [parent.kind for parent in file.provenance.parents] == ["recording", "inference", "inference"]
        assert file.provenance.config["n_resamples"] == 20
        assert str(files) not in str(file.provenance.config)
    header, *rows = (run / "seeds.csv").read_text().splitlines()
    assert header == "dataset,model,split,metric,definition,n_seeds,mean,sd"
    assert any(row.startswith("toy recording,toy,test,rate_r2,variance-weighted-1,2,0.9") for row in rows)
    command = "ctd-analysis truth=recording.h5 inference=[model0.h5,model1.h5]"
    assert command in (run / "report.html").read_text()
    assert COMMAND.invoke([*ARGUMENTS, "out=run"]) == 0
    assert "already done" in capsys.readouterr().err


@pytest.mark.usefixtures("no_report")
def test_the_command_in_the_report_repeats_the_analysis(files):
    from ctd_analysis.cli import AnalysisCommandConfig, _command
    from ctd_analysis.fixed_points import FixedPointSearch

    config = AnalysisCommandConfig(
        truth="recording.h5",
        inference=["model0.h5"],
        n_resamples=20,
        n_examples=2,
        search=FixedPointSearch(n_starts=20, reach=None),
    )
    words = shlex.split(_command(config))
    assert words[0] == "ctd-analysis"
    assert words[-1] == "search.reach=null"
    assert COMMAND.invoke([*words[1:], "out=run"]) == 0


@pytest.mark.usefixtures("no_report")
def test_the_same_seed_gives_the_same_digest_and_another_another(files):
    digests = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert COMMAND.invoke([*ARGUMENTS, f"out={name}", f"seed={seed}"]) == 0
        with cc.open(files / name / "analysis.h5") as file:
            digests.append(file.digest)
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["truth=recording.h5"], "inference is required"),
        (["inference=[model0.h5]"], "truth is required"),
        ([*ARGUMENTS, "n_resample=3"], "n_resamples"),
        ([*ARGUMENTS, "search.starts=3"], "n_starts"),
        ([*ARGUMENTS, "n_examples=many"], "n_examples"),
        ([*ARGUMENTS, "split=all"], "expected one of train, valid, test"),
        ([*ARGUMENTS, "search.tolerance=-1"], "tolerance"),
        (["truth=nothing.h5", "inference=[model0.h5]"], "no file nothing.h5"),
        (["truth=model0.h5", "inference=[model1.h5]"], "kind inference, expected recording"),
        (["truth=other.h5", "inference=[model0.h5]"], "another recording"),
        (["truth=simulated.h5", "inference=[model0.h5]", "task=other_task.h5"], "another task"),
        (["truth=recording.h5", "inference=[damaged.h5]"], "damaged.h5"),
        (["truth=recording.h5", "inference=[]"], "no inference file"),
    ],
)
def test_bad_input_ends_with_a_sentence_and_two(files, capsys, arguments, sentence):
    make_recording("other.h5", n_trials=30, n_states=3, seed=5)
    make_task("other_task.h5", n_trials=30, seed=5)
    with cc.open(make_task("task.h5", n_trials=30)) as task:
        ids, time, parent = task.axis("trial"), task.time, task.parent(role="task")
    axes, parents = {"neuron": 4}, [parent]
    with cc.create(
        "simulated.h5", "recording", name="", producer="", trial=ids, time=time, axes=axes, parents=parents
    ) as writer:
        writer.column("trials", "split", np.arange(30) % 3)
        writer.column("neurons", "held_out", np.zeros(4))
        writer.signal("spikes", np.ones((30, len(time), 4), dtype=np.uint8))
    content = (files / "model0.h5").read_bytes()
    (files / "damaged.h5").write_bytes(content[: len(content) // 2])
    assert COMMAND.invoke([*arguments, "out=run"]) == 2
    message = capsys.readouterr().err.strip()
    assert sentence in message
    assert "Traceback" not in message
    assert not (files / "run" / "analysis.h5").exists()
