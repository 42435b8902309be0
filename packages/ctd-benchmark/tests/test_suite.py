"""Suites, their jobs, and what identifies a job."""

from dataclasses import replace

import pytest

import ctd_contract as cc
from ctd_benchmark import Row, load_suite, plan, write_leaderboard
from ctd_benchmark.cost import longest_chains, wall_seconds
from ctd_benchmark.leaderboard import read_rows, summary
from ctd_benchmark.plan import Job, quoted
from ctd_benchmark.progress_line import ProgressLine, duration
from ctd_benchmark.suite import make_suite, suite_names
from ctd_contract.testing import make_recording, make_task

PLAIN = {"tasks": {"t": {}}, "simulators": {"s": {}}, "models": {"m": {}}}


@pytest.fixture
def recording(tmp_path):
    return make_recording(tmp_path / "recording.h5")


@pytest.mark.parametrize("name", suite_names())
def test_shipped_suites_are_sound(name, recording):
    suite = load_suite(name)
    suite = suite.on([str(recording)] * len(suite.recordings))
    jobs = plan(suite)
    labels = [job.label for job in jobs]
    assert len(set(labels)) == len(labels)
    for i, job in enumerate(jobs):
        assert set(job.parents()) <= set(labels[:i])
    assert suite.summary


def test_quickstart_and_flip_flop_are_what_they_say():
    assert suite_names() == [
        "double_well",
        "flip_flop",
        "lorenz",
        "lotka_volterra",
        "motor_cortex",
        "motor_cortex_blocks",
        "quickstart",
        "three_region_rnn",
        "v1_v2",
    ]
    assert len(plan(load_suite("quickstart"))) == 3 + len(load_suite("quickstart").models)
    assert {len(model.seeds) for model in load_suite("flip_flop").models.values()} == {5}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": {}}, "no key 'model' (did you mean 'models'?)"),
        (
            {"tasks": {"t": {"overides": []}}},
            "tasks.t: there is no key 'overides' (did you mean 'overrides'?)",
        ),
        ({"models": {}}, "models names nothing"),
        ({"models": None}, "models: expected keys and values, got None"),
        ({"models": {"m": {"seeds": [1, 1]}}}, "models.m.seeds"),
        ({"models": {"m": {"seeds": []}}}, "models.m.seeds"),
        ({"models": {"m": {"also": ["inference.h5"]}}}, "models.m.also: expected the name of a file beside"),
        ({"tasks": {"t": {"also": ["a.h5"]}}}, "tasks.t.also: only a model"),
        ({"models": {"m": {"seeds": ["1"]}}}, "models.m: seeds[0]: expected int, got '1'"),
        ({"models": {"m": {"seeds": 1}}}, "models.m: seeds: expected a list, got 1"),
        ({"models": {"m": {"threads": 0}}}, "models.m.threads"),
        ({"models": {"m": {"threads": True}}}, "expected int, got True"),
        ({"models": {"m": {"expected_s": 0}}}, "models.m.expected_s"),
        ({"models": {"m": {"overrides": ["size"]}}}, "expected KEY=VALUE, got 'size'"),
        ({"models": {"m": {"overrides": ["seed=3"]}}}, "seed is given by the benchmark"),
        ({"models": {"a b": {}}}, "a label is made of"),
        ({"models": {"m": {"joint": 1}}}, "models.m: joint: expected bool, got 1"),
        ({"models": {"m": {"joint": True}}}, "models.m.joint: is for a suite of recordings alone"),
        (
            {"tasks": {}, "simulators": {}, "recordings": {"r": "???"}, "models": {"m": {"joint": True}}},
            "models.m.joint: expected several recordings to fit together, got 1",
        ),
        ({"analyses": {"a": {"joint": True}}}, "analyses.a.joint: only a model"),
    ],
)
def test_what_is_wrong_with_a_suite_is_said_with_its_place(change, said):
    with pytest.raises(ValueError, match=r"^own") as error:
        make_suite({**PLAIN, **change}, where="own.yaml")
    assert str(error.value).startswith("own.yaml: ")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("tasks", r"simulators\.s: tasks names nothing to simulate: name a task, or add source=SYSTEM"),
        ("simulators", r"nothing simulates tasks\.t: simulators is empty"),
        ("models", "models is required"),
    ],
)
def test_stages_are_required(missing, said):
    with pytest.raises(ValueError, match=said):
        make_suite({key: value for key, value in PLAIN.items() if key != missing})


def test_a_suite_makes_recordings_or_has_some():
    with pytest.raises(ValueError, match="simulators names nothing to run, and there are no recordings"):
        make_suite({"models": {"m": {}}})


SYSTEM = {
    "simulators": {"wells": {"overrides": ["source=double_well", "system.trials=9"], "seeds": [0, 1]}},
    "models": {"m": {}},
}


def test_a_simulator_with_a_source_of_its_own_takes_no_task():
    jobs = plan(make_suite(SYSTEM))
    assert [job.label for job in jobs] == [
        *("recording wells-simulation-0", "m seed 0 of wells-simulation-0"),
        "analysis default of wells-simulation-0",
        *("recording wells-simulation-1", "m seed 0 of wells-simulation-1"),
        "analysis default of wells-simulation-1",
    ]
    assert jobs[0].settings == (
        *("source=double_well", "system.trials=9", "name=wells-simulation-0", "seed=0", "threads=1"),
    )
    assert jobs[0].parents() == []
    assert set(jobs[2].inputs) == {"truth", "inference"}  # and no task


def test_tasks_and_systems_in_one_suite_keep_apart():
    suite = make_suite(
        {**PLAIN, "simulators": {"s": {}, "wells": {"overrides": ["source=double_well"]}}},
    )
    recordings = {job.label: job.parents() for job in plan(suite) if job.stage == "simulators"}
    assert recordings == {"recording t": ["task t"], "recording wells": []}


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        (
            {**PLAIN, "simulators": SYSTEM["simulators"]},
            r"nothing simulates tasks\.t: all simulators have sources",
        ),
        (
            {**PLAIN, "models": {"m": {"overrides": ["source=double_well"]}}},
            "source is given by the benchmark",
        ),
        (
            {**PLAIN, "simulators": {"s": {"overrides": ["source=runs/task.h5"]}}},
            r"simulators\.s\.overrides: source= names a system here, not a file, got 'runs/task\.h5'",
        ),
        (
            {**PLAIN, "simulators": {"s": {}, "t": {"overrides": ["source=double_well"]}}},
            "two recordings of the suite would be called t",
        ),
        (
            {**SYSTEM, "models": {"m": {"joint": True}}},
            "is for a suite of recordings alone, and this one simulates",
        ),
    ],
)
def test_what_is_wrong_with_a_source_is_said(plain, said):
    with pytest.raises(ValueError, match=said):
        plan(make_suite(plain))


RECORDED = {"recordings": {"r": "???"}, "models": {"m": {"seeds": [0, 1]}, "b": {"command": "baseline"}}}


def test_a_recording_takes_the_place_of_task_and_simulator(recording):
    jobs = plan(make_suite(RECORDED).on([str(recording)]))
    assert [job.label for job in jobs] == [
        "m seed 0 of r", "m seed 1 of r", "b seed 0 of r", "analysis default of r",
    ]  # fmt: skip
    fit, _, baseline, analysis = jobs
    assert fit.parents() == []
    assert [given.path for given in fit.recordings["data"]] == [recording]
    assert [given.path for given in analysis.recordings["truth"]] == [recording]
    assert set(analysis.inputs) == {"inference"}
    assert baseline.command == "baseline"
    assert baseline.recipe == "models ctd-models-torch baseline threads=1"


def test_a_recording_is_what_it_holds_whatever_it_is_called(recording, tmp_path):
    def identity(path):
        return plan(make_suite(RECORDED).on([str(path)]))[0].identity({"p": "1"}, {})

    same = tmp_path / "other name.h5"
    same.write_bytes(recording.read_bytes())
    assert identity(same) == identity(recording)
    assert identity(make_recording(tmp_path / "other.h5", seed=1)) != identity(recording)


@pytest.mark.parametrize(
    ("plain", "path", "said"),
    [
        (RECORDED, None, r"needs the recording r, got none: add data=r\.h5"),
        (RECORDED, "nothing.h5", r"no recording nothing\.h5"),
        (RECORDED, "task.h5", r"kind task, expected a recording"),
        (PLAIN, "recording.h5", "leaves paths of recordings open, this has none"),
        (
            {**RECORDED, "recordings": {"r": "???", "s": "???"}},
            "recording.h5",
            r"recordings r, s, got 1: add data=\[r\.h5,s\.h5\]",
        ),
        ({**RECORDED, "recordings": {"r": "gone.h5"}}, None, r"no recording gone\.h5"),
        ({**RECORDED, "recordings": {"r": None}}, None, "recordings.r: expected str"),
        ({**RECORDED, "recordings": {"a b": "x.h5"}}, None, "a label is made of"),
        ({**RECORDED, "tasks": {"t": {}}}, None, r"nothing simulates tasks\.t: simulators is empty"),
        ({**RECORDED, "models": {"m": {"command": "a b"}}}, None, "expected one word"),
    ],
)
def test_what_is_wrong_with_a_recording_is_said(recording, monkeypatch, plain, path, said):
    monkeypatch.chdir(recording.parent)
    make_task("task.h5")
    with pytest.raises(ValueError, match=said):
        plan(make_suite(plain).on([] if path is None else [path]))


def test_a_joint_fit_is_one_job_and_predicts_each_recording(recording, tmp_path):
    other = make_recording(tmp_path / "other.h5", seed=1)
    suite = make_suite(
        {
            "recordings": {"r": "???", "fixed": str(recording), "s": "???"},
            "models": {"j": {"joint": True, "overrides": ["a=1"], "threads": 2}, "m": {}},
        }
    )
    jobs = {job.label: job for job in plan(suite.on([str(other), str(recording)]))}
    assert list(jobs) == [
        "j seed 0 of all recordings",
        "j seed 0 of r", "m seed 0 of r", "analysis default of r",
        "j seed 0 of fixed", "m seed 0 of fixed", "analysis default of fixed",
        "j seed 0 of s", "m seed 0 of s", "analysis default of s",
    ]  # fmt: skip
    fit, prediction = jobs["j seed 0 of all recordings"], jobs["j seed 0 of r"]
    assert [given.path for given in fit.recordings["data"]] == [other, recording, recording]
    assert fit.result == "sessions.json"
    assert prediction.settings == ("name=j", "seed=0", "threads=2")
    assert prediction.parents() == [fit.label]
    assert [given.path for given in prediction.recordings["data"]] == [other]
    assert prediction.result == "inference.h5"
    assert jobs["analysis default of r"].inputs["inference"] == ("j seed 0 of r", "m seed 0 of r")
    # Times measured of one don't pass for those of another.
    assert len({fit.recipe, prediction.recipe, replace(fit, stage="models").recipe}) == 3
    alone = fit.identity({}, {})
    assert replace(fit, recordings={"data": fit.recordings["data"][:2]}).identity({}, {}) != alone
    assert replace(fit, recordings={"data": fit.recordings["data"][::-1]}).identity({}, {}) != alone


def test_a_suite_that_is_no_yaml_is_refused(tmp_path):
    (tmp_path / "bad.yaml").write_text("tasks: [\n")
    with pytest.raises(ValueError, match=r"bad\.yaml is no YAML"):
        load_suite(str(tmp_path / "bad.yaml"))
    with pytest.raises(ValueError, match="there is no file"):
        load_suite(str(tmp_path / "none.yaml"))


def test_every_combination_is_run_and_named_apart():
    suite = make_suite(
        {
            "tasks": {"t": {"seeds": [0, 1]}, "u": {}},
            "simulators": {"s": {}, "r": {"seeds": [4, 5]}},
            "models": {"m": {"seeds": [0, 1]}, "n": {}},
            "analyses": {"x": {}, "y": {}},
        }
    )
    jobs = plan(suite)
    stages = [job.stage for job in jobs]
    assert [stages.count(s) for s in ("tasks", "simulators", "models", "analyses")] == [3, 9, 27, 18]
    recordings = [job for job in jobs if job.stage == "simulators"]
    names = {s for job in recordings for s in job.settings if s.startswith("name=")}
    assert len(names) == 9
    assert "name=t-network-1-r-spikes-5" in names
    analysis = next(job for job in jobs if job.stage == "analyses")
    assert len(analysis.inputs["inference"]) == 3


JOB = Job("m", "models", "p", ("a=1", "seed=0"), {"data": ("r",)})


def test_identity_is_of_settings_versions_and_parents_alone():
    base = JOB.identity({"p": "1"}, {"data": ["x"]})
    same = Job("other name", "models", "p", ("seed=0", "a=1"), {"data": ("q",)}, expected_s=3)
    assert same.identity({"p": "1"}, {"data": ["x"]}) == base
    other = [
        Job("m", "models", "q", JOB.settings).identity({"p": "1"}, {"data": ["x"]}),
        Job("m", "models", "p", ("a=2", "seed=0")).identity({"p": "1"}, {"data": ["x"]}),
        Job("m", "models", "p", ("a=1", "seed=1")).identity({"p": "1"}, {"data": ["x"]}),
        JOB.identity({"p": "2"}, {"data": ["x"]}),
        JOB.identity({"p": "1"}, {"data": ["y"]}),
        JOB.identity({"p": "1"}, {"truth": ["x"]}),
        Job("m", "models", "p", JOB.settings, command="baseline").identity({"p": "1"}, {"data": ["x"]}),
    ]
    assert len({base, *other}) == 8


@pytest.mark.parametrize("text", ["plain.h5", "/a b/c.h5", "it's", "back\\slash", "a,b=[c]{d}: $x", "ünï"])
def test_quoted_paths_come_through_hydras_grammar(text):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_override(f"key=[{quoted(text)},{quoted('b')}]")
    assert parsed.value() == [text, "b"]


def chain(*edges):
    return {label: Job(label, "models", "p", (), {"x": parents}) for label, parents in edges}


def test_the_cost_of_a_plan_is_that_of_its_schedule():
    jobs = chain(("a", ()), ("b", ("a",)), ("c", ("a",)), ("d", ("b", "c")))
    seconds = {"a": 1.0, "b": 5.0, "c": 3.0, "d": 2.0}
    assert longest_chains(jobs, seconds) == {"a": 8.0, "b": 7.0, "c": 5.0, "d": 2.0}
    everything = list(jobs.values())
    assert wall_seconds(everything, seconds, 2) == 8.0
    assert wall_seconds(everything, seconds, 1) == 11.0
    assert wall_seconds(everything[1:], seconds, 2) == 7.0
    assert wall_seconds([], seconds, 2) == 0.0


def row(model="m", seed=0, value=0.5, low=float("nan"), dataset="d"):
    return Row(dataset, model, seed, "test", "r2", "v-1", value, low, low + 0.2)


def test_seeds_are_summed_up_and_intervals_shown():
    rows = [row(seed=0, value=0.4), row(seed=1, value=0.6), row("n", value=0.7, low=0.6)]
    assert summary(rows)["d", "test"] == [
        ["metric", "m", "n"],
        ["r2 (v-1)", "0.500 ± 0.141 (2 seeds)", "0.700 [0.600, 0.800]"],
    ]


def test_differences_to_a_reference_are_lines_of_their_own(tmp_path):
    numbers = {"low": [-0.1, -0.2, 0.05], "high": [0.3, 0.2, 0.15]}
    names = {"dataset": ["d"] * 3, "model": ["m"] * 3, "split": ["test"] * 3, "metric": ["r2"] * 3}
    names |= {"definition": ["v-1"] * 3}
    with cc.create(tmp_path / "analysis.h5", "analysis", name="a", producer="tests") as writer:
        writer.metrics({**names, "seed": [0, 1, 0], "value": [0.4, 0.6, 0.5], **numbers})
        compared = {**names, "seed": [0, 1, -1], "reference": ["lds"] * 3, "difference": [0.0, 0.2, 0.1]}
        for name, values in {**compared, **numbers}.items():
            writer.column("differences", name, values)
    rows = read_rows(tmp_path / "analysis.h5")
    assert len(rows) == 4
    assert summary(rows)["d", "test"][2] == ["r2 - lds (v-1)", "0.100 [0.050, 0.150]"]


def test_several_reports_hang_on_one_page(tmp_path):
    reports = {}
    for name in ("one of d", "two of d"):
        reports[name] = tmp_path / f"{name}.html"
        reports[name].write_text(name)
    write_leaderboard(tmp_path / "out", [row("<m>")], reports, title="Both")
    page = (tmp_path / "out/report.html").read_text()
    assert 'href="reports/one-of-d.html"' in page
    assert "&lt;m&gt;" in page
    assert (tmp_path / "out/reports/two-of-d.html").read_text() == "two of d"
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []


def test_the_line_says_how_far_it_is():
    line = ProgressLine("quick").text(total=7, done=3, failed=1, running=["m", "n"], left_s=75)
    assert line == "quick 3/7 done, 1 failed, 2 running (m, n), 0 s gone, about 1 min 15 s left"
    assert duration(3700) == "1 h 01 min"
