"""Whole runs against stand-ins for the other packages' commands."""

import os
import signal
import stat
import sys
import time

import pytest

from ctd_contract.testing import make_recording

HEADER = "dataset,model,seed,split,metric,definition,value,low,high"


def wait_for(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.02)


def test_a_suite_runs_every_job_once_and_leaves_a_report(bench):
    done = bench.run()
    assert done.returncode == 0, done.err
    started = [event[0] for event in bench.events("start")]
    assert sorted(started) == sorted(
        ["ctd_tasks", "ctd_sim", "ctd_models_torch", "ctd_models_torch", "ctd_models_jax", "ctd_analysis"]
    )
    assert bench.leaderboard()[0] == HEADER
    assert bench.leaderboard()[1] == "toy,model-0,0,test,rate_r2,plain-1,0.5,0.4,"
    assert len(bench.leaderboard()) == 4
    folder = bench.folder / "outputs/benchmark/own"
    assert (folder / "report.html").read_text() == "report of 3 models"
    assert "| rate_r2 (plain-1) | 0.500" in (folder / "leaderboard.md").read_text()


def test_a_recording_of_the_users_is_fitted_and_analysed(bench):
    make_recording(bench.folder / "it's.h5")
    bench.suite(
        "recordings:\n  own: ???\nmodels:\n  a: {}\n  b: {package: ctd-analysis, command: baseline}\n"
    )
    assert "the suite needs the recording own, got none: add data=own.h5" in bench.run().err
    path = "data='it\\'s.h5'"
    done = bench.run(path)
    assert done.returncode == 0, done.err
    started = bench.events("start")
    first_two = sorted(started[:2])  # they run side by side
    assert [event[0] for event in [*first_two, started[2]]] == [
        "ctd_analysis",
        "ctd_models_torch",
        "ctd_analysis",
    ]
    assert "baseline" in first_two[0]
    assert (bench.folder / "outputs/benchmark/own/report.html").read_text() == "report of 2 models"
    assert "nothing to do" in bench.run(path).err
    make_recording(bench.folder / "it's.h5", seed=1, overwrite=True)
    assert bench.run(path).returncode == 0
    assert len(bench.events("start")) == 6


def test_a_system_is_simulated_fitted_and_analysed_without_a_task(bench):
    bench.suite("simulators:\n  wells: {overrides: [source=double_well]}\nmodels:\n  a: {}\n")
    done = bench.run()
    assert done.returncode == 0, done.err
    simulation, fit, analysis = bench.events("start")
    assert [event[0] for event in (simulation, fit, analysis)] == [
        "ctd_sim",
        "ctd_models_torch",
        "ctd_analysis",
    ]
    assert {"source=double_well", "name=wells"} <= set(simulation)
    recording = f"'{bench.folder}/outputs/benchmark/jobs/{simulation[1]}/recording.h5'"
    assert f"data={recording}" in fit
    assert f"truth={recording}" in analysis
    assert not any(word.startswith("task=") for word in analysis)
    assert "nothing to do" in bench.run().err


JOINT = """
recordings:
  monday: ???
  tuesday: ???
models:
  both: {joint: true, seeds: [0, 1], overrides: [size=3], expected_s: 40}
  each: {package: ctd-analysis, command: baseline}
"""
DAYS = "data=[monday.h5,tuesday.h5]"


@pytest.fixture
def days(bench):
    """A benchmark with two recordings and a suite of joint fits."""
    for seed, day in enumerate(("monday", "tuesday")):
        make_recording(bench.folder / f"{day}.h5", seed=seed)
    bench.suite(JOINT)
    return bench


def test_one_fit_of_all_recordings_predicts_each_of_them(days):
    assert "needs the recordings monday, tuesday, got none: add data=[monday.h5,tuesday.h5]" in days.run().err
    assert "got 1: add data=[" in days.run("data=monday.h5").err
    assert "data is a file or a list of files" in days.run("data=5").err
    done = days.run(DAYS)
    assert done.returncode == 0, done.err
    starts = days.events("start")
    fits = [event for event in starts if any(word.startswith("data=[") for word in event)]
    predictions = [event for event in starts if any(word.startswith("predict=") for word in event)]
    assert (len(starts), len(fits), len(predictions)) == (10, 2, 4)
    both = f"data=['{days.folder}/monday.h5','{days.folder}/tuesday.h5']"
    assert all({both, "size=3", "name=both"} <= set(fit) for fit in fits)
    asked = {word for event in predictions for word in event if word.startswith(("predict=", "data="))}
    assert asked == {
        *(f"predict='{days.folder}/outputs/benchmark/jobs/{fit[1]}/sessions.json'" for fit in fits),
        *(f"data='{days.folder}/{day}.h5'" for day in ("monday", "tuesday")),
    }
    assert all("name=both" in event and "size=3" not in event for event in predictions)
    pages = days.folder.glob("outputs/benchmark/own/reports/*.html")
    assert [page.read_text() for page in pages] == ["report of 3 models"] * 2
    assert "nothing to do" in days.run(DAYS).err


def test_a_joint_fit_is_of_what_all_recordings_hold(days):
    days.run(DAYS, "models=[both]", "seeds=[0]")
    assert len(days.events("start")) == 5
    (days.folder / "monday.h5").rename(days.folder / "other.h5")
    assert "nothing to do" in days.run("data=[other.h5,tuesday.h5]", "models=[both]", "seeds=[0]").err
    make_recording(days.folder / "tuesday.h5", seed=7, overwrite=True)
    assert days.run("data=[other.h5,tuesday.h5]", "models=[both]", "seeds=[0]").returncode == 0
    # One change makes a new model, which says something new of every recording.
    assert len(days.events("start")) == 10


def test_a_failed_joint_fit_leaves_out_its_predictions_alone(days):
    days.suite(JOINT.replace("size=3", "fail=true"))
    failed = days.run(DAYS, "seeds=[0]")
    assert failed.returncode == 1
    assert "failed: both seed 0 of all recordings (exit code 1" in failed.err
    for day in ("monday", "tuesday"):
        assert f"skipped: both seed 0 of {day}, since what it needs failed" in failed.err
    assert "3 of 7 jobs failed or were skipped" in failed.err
    pages = days.folder.glob("outputs/benchmark/own/reports/*.html")
    assert [page.read_text() for page in pages] == ["report of 1 models"] * 2


def test_a_killed_joint_fit_continues(days):
    days.suite(JOINT.replace("size=3", "gate=go"))
    process = days.start(DAYS, "models=[both]", "seeds=[0]")
    wait_for(lambda: days.events("start"))
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    next(days.folder.glob("outputs/benchmark/jobs/*/active")).unlink()
    (days.folder / "go").touch()
    assert days.run(DAYS, "models=[both]", "seeds=[0]").returncode == 0
    starts = days.events("start")
    assert len(starts) == 6
    assert starts[1][1] == starts[0][1]
    assert "resume=true" in starts[1]


def test_a_dry_run_of_joint_fits_tells_their_cost_from_that_of_predictions(days):
    planned = days.run(DAYS, "dry_run=true", "seeds=[0]")
    assert planned.returncode == 0, planned.err
    assert "both seed 0 of all recordings: 40 s on 1 thread" in planned.out
    assert "both seed 0 of tuesday: 10 s on 1 thread" in planned.out
    assert "7 of 7 jobs to run" in planned.out
    days.run(DAYS, "seeds=[0]")
    planned = days.run(DAYS, "dry_run=true", "seeds=[1]")
    assert "both seed 1 of all recordings: 0 s" in planned.out
    assert "both seed 1 of tuesday: 0 s" in planned.out


def test_a_second_run_does_nothing(bench):
    bench.run()
    before = bench.journal.read_text()
    again = bench.run()
    assert again.returncode == 0
    assert "nothing to do" in again.err
    assert bench.journal.read_text() == before
    assert len(bench.leaderboard()) == 4


def test_a_lost_result_is_made_again_and_nothing_else(bench):
    bench.run()
    lost = next(bench.folder.glob("outputs/benchmark/jobs/*/recording.h5"))
    lost.unlink()
    before = len(bench.events("start"))
    assert bench.run().returncode == 0
    assert [event[:2] for event in bench.events("start")[before:]] == [["ctd_sim", lost.parent.name]]


def test_a_change_runs_what_depends_on_it(bench):
    bench.run()
    before = len(bench.events("start"))
    bench.suite(
        "tasks: {toy: {}}\nsimulators: {plain: {}}\n"
        "models:\n  a: {seeds: [0, 1]}\n  b: {package: ctd-models-jax, overrides: [size=3]}\n"
    )
    assert bench.run().returncode == 0
    assert [event[0] for event in bench.events("start")[before:]] == ["ctd_models_jax", "ctd_analysis"]
    for about in bench.packages.glob("ctd_sim-*/METADATA"):
        about.write_text(about.read_text().replace("9.9", "10.0"))
    before = len(bench.events("start"))
    assert bench.run().returncode == 0
    assert "ctd_tasks" not in [event[0] for event in bench.events("start")[before:]]
    assert len(bench.events("start")) - before == 5


def test_overwrite_runs_everything_again(bench):
    bench.run()
    assert bench.run("overwrite=true").returncode == 0
    assert len(bench.events("start")) == 12
    assert all("overwrite=true" in event for event in bench.events("start")[6:])


TWO = "models: {a: {}, b: {also: [inference_rnn.h5], overrides: [writes=inference_rnn.h5]}}"


def test_all_files_of_a_model_are_analysed(bench):
    bench.suite(f"tasks: {{t: {{}}}}\nsimulators: {{s: {{}}}}\n{TWO}")
    assert bench.run().returncode == 0
    (analysis,) = [event for event in bench.events("start") if event[0] == "ctd_analysis"]
    (given,) = [word for word in analysis if word.startswith("inference=")]
    assert [path.rsplit("/", 1)[1].rstrip("']") for path in given.split(",")] == [
        *("inference.h5", "inference.h5", "inference_rnn.h5")
    ]
    before = len(bench.events("start"))
    next(bench.folder.rglob("inference_rnn.h5")).unlink()
    assert bench.run().returncode == 0
    assert [event[0] for event in bench.events("start")[before:]] == ["ctd_models_torch"]


def test_a_model_that_leaves_out_a_file_has_failed(bench):
    bench.suite(
        f"tasks: {{t: {{}}}}\nsimulators: {{s: {{}}}}\n{TWO.replace('writes=inference_rnn', 'writes=rnn')}"
    )
    found = bench.run()
    assert found.returncode == 1
    assert "wrote no inference_rnn.h5" in found.err


def test_a_failed_job_fails_only_its_dependants_and_is_told_of_at_once(bench):
    bench.suite(
        "tasks: {toy: {}}\nsimulators: {plain: {}}\n"
        "models:\n  good: {}\n  bad: {overrides: [fail=true]}\n  slow: {overrides: [gate=go]}\n"
    )
    process = bench.start()
    log = []
    while not log or "the last words" not in log[-1]:  # while the slow one still waits
        log.append(process.stderr.readline())
        assert log[-1], "".join(log)
    assert any("failed: bad seed 0 of toy (exit code 1" in line and ".log" in line for line in log)
    assert bench.events("end")[-1][0] != "ctd_analysis"
    (bench.folder / "go").touch()
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "1 of 6 jobs failed or were skipped: bad seed 0 of toy" in rest
    assert (bench.folder / "outputs/benchmark/own/report.html").read_text() == "report of 2 models"


def test_an_output_that_cannot_be_a_folder_is_bad_input(bench):
    done = bench.run("out=/dev/null/benchmark")
    assert done.returncode == 2
    assert "can't make the folder /dev/null/benchmark" in done.err


def test_without_a_recording_nothing_else_runs(bench):
    bench.run()
    bench.suite("tasks: {toy: {}}\nsimulators: {plain: {overrides: [fail=true]}}\nmodels: {a: {}}\n")
    failed = bench.run()
    assert failed.returncode == 1
    assert "skipped: a seed 0 of toy" in failed.err
    assert "3 of 4 jobs failed" in failed.err
    assert not (bench.folder / "outputs/benchmark/own/leaderboard.csv").exists()


def test_a_killed_run_continues(bench):
    bench.suite("tasks: {toy: {}}\nsimulators: {plain: {}}\nmodels: {a: {overrides: [gate=go]}, b: {}}\n")
    process = bench.start("threads=2")
    # The recording is there and the second model too; the first waits at its gate.
    records = (bench.folder / "outputs/benchmark/jobs").glob
    wait_for(lambda: len(list(records("*.json"))) == 3 and len(bench.events("start")) == 4)
    process.kill()
    process.communicate()
    again = bench.start()
    time.sleep(1.5)
    # The orphan still holds its lock: a second one never joins it.
    assert len(bench.events("start")) == 4
    (bench.folder / "go").touch()
    _, said = again.communicate(timeout=60)
    assert again.returncode == 0, said
    assert not bench.events("clash")
    repeated = bench.events("start")[4:]
    assert [event[0] for event in repeated] == ["ctd_models_torch", "ctd_analysis"]
    assert "resume=true" in repeated[0]


def test_two_runs_at_once_share_the_work(bench):
    bench.suite(
        "tasks: {toy: {overrides: [sleep=0.3]}}\nsimulators: {plain: {overrides: [sleep=0.3]}}\n"
        "models: {a: {seeds: [0, 1, 2, 3, 4, 5], overrides: [sleep=0.3]}}\n"
    )
    first, second = bench.start("threads=2"), bench.start("threads=2")
    for process in (first, second):
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert len(bench.events("start")) == 9
    assert not bench.events("clash")
    assert len(bench.leaderboard()) == 7


def test_an_interrupt_ends_the_jobs_and_the_next_run_continues(bench):
    bench.suite("tasks: {toy: {overrides: [gate=go]}}\nsimulators: {plain: {}}\nmodels: {a: {}}\n")
    for number in (signal.SIGINT, signal.SIGTERM):
        process = bench.start()
        before = len(bench.events("start"))
        wait_for(lambda before=before: len(bench.events("start")) > before)
        time.sleep(0.3)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback (most recent call last)" not in said
        (next(bench.folder.glob("outputs/benchmark/jobs/*/active"))).unlink()
    (bench.folder / "go").touch()
    assert bench.run().returncode == 0
    # An ended child would otherwise have written its result as soon as the gate opened.
    assert len([event for event in bench.events("end") if event[0] == "ctd_tasks"]) == 1


def test_threads_are_given_and_never_exceeded(bench):
    bench.suite(
        "tasks: {toy: {threads: 2}}\nsimulators: {plain: {}}\n"
        "models: {a: {seeds: [0, 1, 2], threads: 2, overrides: [sleep=0.2]}}\n"
    )
    assert bench.run("threads=3").returncode == 0
    logs = [path.read_text() for path in bench.folder.glob("outputs/benchmark/jobs/*.log")]
    assert sorted(log.split("threads ")[1][0] for log in logs) == ["1", "1", "2", "2", "2", "2"]
    models = [
        line.split()[:3] for line in bench.journal.read_text().splitlines() if " ctd_models_torch " in line
    ]
    assert [event[0] for event in models] == ["start", "end"] * 3


def test_a_dry_run_prints_the_plan_and_its_cost_and_writes_nothing(bench):
    planned = bench.run("dry_run=true")
    assert planned.returncode == 0
    assert "a seed 1 of toy: 5 s on 1 thread" in planned.out
    assert "-m ctd_models_jax" in planned.out
    assert "6 of 6 jobs to run" in planned.out
    assert not (bench.folder / "outputs").exists()
    bench.run()
    planned = bench.run("dry_run=true")
    assert "a seed 1 of toy: done" in planned.out
    assert "0 of 6 jobs to run" in planned.out
    planned = bench.run("dry_run=true", "seeds=[7]")
    # What was measured takes the place of the suite's guess.
    assert "a seed 7 of toy: 0 s" in planned.out


def test_models_and_seeds_can_be_chosen(bench):
    assert bench.run("models=[a]", "seeds=[4]", "seed=10").returncode == 0
    starts = bench.events("start")
    assert [event[0] for event in starts] == ["ctd_tasks", "ctd_sim", "ctd_models_torch", "ctd_analysis"]
    seeds = [argument for event in starts for argument in event if argument.startswith("seed=")]
    assert seeds == ["seed=10", "seed=10", "seed=14", "seed=10"]


def test_a_package_may_have_its_own_interpreter(bench, install_stubs):
    other = install_stubs(bench.folder / "other", version="1.0")
    python = bench.folder / "other python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{other}" exec "{sys.executable}" "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IEXEC)
    assert bench.run().returncode == 0
    done = bench.run(f"interpreters.ctd_models_jax='{python}'")
    assert done.returncode == 0, done.err
    # Another version makes other results, so the model and the analysis ran again.
    assert [event[0] for event in bench.events("start")[6:]] == ["ctd_models_jax", "ctd_analysis"]
    missing = bench.run("interpreters.ctd_models_jax=/nowhere/python")
    assert missing.returncode == 2
    assert "/nowhere/python" in missing.err


def test_a_package_that_is_not_installed_is_named(bench):
    bench.suite("tasks: {toy: {package: ctd-nothing}}\nsimulators: {plain: {}}\nmodels: {a: {}}\n")
    done = bench.run()
    assert done.returncode == 2
    assert "ctd-nothing is not installed" in done.err
    assert not (bench.folder / "outputs").exists()


def test_bad_suites_and_settings_exit_with_2(bench):
    bench.suite("tasks: {toy: {}}\nsimulators: {plain: {}}\nmodles: {a: {}}\n")
    done = bench.run()
    assert (done.returncode, "did you mean 'models'" in done.err) == (2, True), done.err
    for argument, said in (("suit=x", "suite"), ("models=[c]", "no model 'c'")):
        bench.suite("tasks: {toy: {}}\nsimulators: {plain: {}}\nmodels: {a: {}}\n")
        done = bench.run(argument)
        assert (done.returncode, said in done.err) == (2, True), done.err
    done = bench.run(suite="quickstrt")
    assert (done.returncode, "quickstart" in done.err) == (2, True), done.err


def test_paths_may_hold_anything(bench):
    out = "a folder, with 'quotes' [and] =more"
    done = bench.run(f"out={quoted(out)}")
    assert done.returncode == 0, done.err
    assert (bench.folder / out / "own/report.html").exists()
    assert os.listdir(bench.folder / out / "jobs")


def quoted(text):
    from ctd_benchmark.plan import quoted as quote

    return quote(text)
