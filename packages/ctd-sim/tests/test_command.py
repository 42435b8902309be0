"""The command: its files, its exit codes, its sentences."""

import resource
import subprocess
import sys

import numpy as np
import pytest

import ctd_contract as cc


def command(*arguments, cwd, **options):
    line = [sys.executable, "-m", "ctd_sim", *map(str, arguments)]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=120, **options)


def test_the_same_seed_gives_the_same_digest_in_two_processes(task, tmp_path):
    digests = {}
    for out, seed in (("a", 3), ("b", 3), ("c", 4)):
        done = command(
            f"source={task}", f"seed={seed}", f"out={out}", "held_in=4", "held_out=1", cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        with cc.open(tmp_path / out / "recording.h5") as file:
            digests[out] = file.digest
            assert file.provenance.seed == seed
            assert file.provenance.config["held_in"] == 4
            assert str(tmp_path) not in str(file.provenance)
    assert digests["a"] == digests["b"] != digests["c"]


def test_published_preset_and_a_finished_run(task, tmp_path):
    done = command("preset=published", f"source={task}", "out=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with cc.open(tmp_path / "run" / "recording.h5") as file:
        assert file.held_out.sum() == 10
        assert file.sizes["neuron"] == 60
        valid = file.valid_bins()
        # With the global standardisation, the logarithms of the counts have mean 0 and spread one half.
        x = np.log(file.truth["rates"][:][valid].astype(float) * 0.02)
        assert abs(x.mean()) < 1e-6
        assert abs(x.std() - 0.5) < 1e-6
    again = command("preset=published", f"source={task}", "out=run", cwd=tmp_path)
    assert again.returncode == 0
    assert "already done" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["held_inn=3"], "held_in"),
        (["embedding=smoth"], "smooth"),
        (["embedding=smooth", "embedding.features=many"], "embedding.features"),
        (["fano=-1"], "fano"),
        (["splits=new"], "redraw"),
        (["fractions=[0.5,0.3,0.2]"], "splits=redraw"),
        (["splits=redraw", "fractions=[1,1,1]"], "add up to 1"),
        (["trim_start=40"], "leaves none"),
        (["preset=publshed"], "published"),
    ],
)
def test_bad_settings_exit_with_2_and_one_sentence(task, tmp_path, arguments, said):
    done = command(f"source={task}", "out=run", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "recording.h5").exists()


def test_wrong_missing_and_damaged_sources_exit_with_2(task, tmp_path):
    done = command(f"source={task}", "out=run", "held_in=3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(task.read_bytes()[:3000])
    for source, said in (
        ("run/recording.h5", "has the kind recording"),
        ("nowhere.h5", "nowhere.h5"),
        (damaged, "damaged.h5"),
    ):
        done = command(f"source={source}", "out=other", cwd=tmp_path)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_a_full_disk_leaves_nothing_half_written(write_task, tmp_path):
    """A limit on the size of files stands in for the disk's end."""
    task = write_task(tmp_path / "task.h5", n_trials=200)

    def limit():
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = command(f"source={task}", "out=run", cwd=tmp_path, preexec_fn=limit)
    assert done.returncode == 1, done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in (tmp_path / "run").iterdir() if "recording" in path.name]
    done = command(f"source={task}", "out=run", "resume=true", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_systems_are_sources_by_their_names(task, tmp_path):
    done = command("source=double_well", "preset=regions_counts", "system.trials=30", "out=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with cc.open(tmp_path / "run" / "recording.h5") as file:
        assert file.name == "double_well"
        assert file.names("mode") == ["accumulate", "return"]
        assert np.bincount(file.tables["neurons"]["region"][file.held_out]).tolist() == [12, 12]
    words = ["preset=regions_gaussian", "preset=small_network", "system.trials=8", "system.bins=9", "out=net"]
    done = command("source=three_region_rnn", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with cc.open(tmp_path / "net" / "recording.h5") as file:
        assert file.truth["messages"].shape == (8, 9, 3, 30)
        assert "activity" in file.signals
    for arguments, said in (
        ([], "source is required"),
        ([f"source={task}", "system=double_well"], "leave one out"),
        (["source=double_wel"], "double_wel"),
        (["source=double_well", "system.units=3"], "units"),
        (["source=lotka_volterra", "system.trials=0"], "system.trials"),
    ):
        done = command(*arguments, "out=other", cwd=tmp_path)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_importing_the_library_brings_no_command(tmp_path):
    code = "import sys, ctd_sim; print([m for m in ('hydra', 'omegaconf', 'torch') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr
