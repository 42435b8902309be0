"""Each single thing made wrong in a valid file gives its code, and no other."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

import ctd_contract as cc
from ctd_contract import testing
from ctd_contract.codes import CODES


def attribute(path, name, value):
    """Set an attribute, or drop it (None)."""

    def change(raw):
        raw[path].attributes[name] = value
        if value is None:
            del raw[path].attributes[name]

    return change


def array(path, function, dtype=None):
    return lambda raw: raw.set(path, function(raw[path].array.copy()), dtype)


def put(index, value):
    """A function that changes one value of an array."""

    def function(values):
        values[index] = value
        return values

    return function


def drop(path):
    def change(raw):
        for name in [name for name in raw if name == path or name.startswith(path + "/")]:
            del raw[name]

    return change


def add(path, values, dtype, axes=None, **attributes):
    def change(raw):
        raw.set(path, values, dtype)
        raw[path].axes = dict(enumerate(axes or ()))
        raw[path].attributes = attributes

    return change


def both(*changes):
    def change(raw):
        for one in changes:
            one(raw)

    return change


def regions(path, axis, values):
    return both(
        add("/region", [0, 1], "<i8"),
        add(path, values, "<i4", [axis]),
    )


def swap_axes_of_state(raw):
    """Grow the state axis and everything along it but the dynamics and the readout."""
    raw.set("/state", [0, 1, 2])
    for name in ("/signals/states", "/signals/initial_state"):
        values = raw[name].array
        raw.set(name, np.concatenate([values, values[..., :1]], axis=-1))
    drop("/readout")(raw)


EVERY = ("task", "recording", "inference")
MUTATIONS = [
    ("CTD104", "task", attribute("/", "ctd_complete", None)),
    ("CTD104", "task", attribute("/", "ctd_complete", 0)),
    ("CTD105", "task", attribute("/", "ctd_contract", None)),
    ("CTD105", "task", attribute("/", "ctd_contract", "one")),
    ("CTD105", "task", attribute("/", "ctd_contract", 1.0)),
    ("CTD106", "task", attribute("/", "ctd_contract", "2.0")),
    ("CTD106", "task", attribute("/", "ctd_contract", "0.9")),
    ("CTD107", "task", attribute("/", "ctd_kind", "tasks")),
    ("CTD107", "task", attribute("/", "ctd_kind", 3)),
    ("CTD108", "task", attribute("/", "ctd_id", "12")),
    ("CTD108", "task", attribute("/", "ctd_id", None)),
    ("CTD108", "task", attribute("/", "name", None)),
    ("CTD108", "task", attribute("/", "name", 5)),
    ("CTD108", "task", attribute("/", "doi", 5)),
    ("CTD201", "recording", drop("/neuron")),
    ("CTD201", "inference", drop("/neuron")),
    ("CTD201", "task", drop("/time")),
    ("CTD201", "recording", drop("/behavior")),
    ("CTD201", "recording", add("/neurons/region", [0, 0, 1, 1], "<i4", ["neuron"])),
    ("CTD202", "task", array("/input", lambda v: v, "<i4")),
    ("CTD202", "task", array("/time", lambda v: v, "<f4")),
    ("CTD203", "recording", array("/signals/spikes", lambda v: v[:, :, :3])),
    ("CTD203", "recording", array("/signals/spikes", lambda v: v[:5])),
    ("CTD203", "recording", array("/signals/spikes", lambda v: v[..., 0])),
    ("CTD203", "recording", array("/signals/spikes", lambda v: v[..., None])),
    ("CTD203", "task", array("/trials/split", lambda v: v[:5])),
    ("CTD203", "task", array("/phases/go", lambda v: np.concatenate([v, v], axis=1))),
    ("CTD204", "recording", array("/signals/spikes", lambda v: v, "<i4")),
    ("CTD204", "recording", array("/signals/spikes", lambda v: v, "<f4")),
    ("CTD204", "recording", array("/signals/spikes", lambda v: v, "S4")),
    ("CTD204", "task", array("/signals/states", lambda v: v, "<f8")),
    ("CTD204", "task", array("/trials/split", lambda v: v, "<i8")),
    ("CTD204", "task", array("/inputs/name", lambda v: np.arange(len(v)), "<i8")),
    ("CTD204", "task", array("/inputs/name", lambda v: np.array([b"\xff\xfe"] * len(v), "S2"), "S2")),
    ("CTD204", "task", array("/phases/go", lambda v: v, "<i8")),
    ("CTD204", "task", array("/dynamics/probe/state", lambda v: v.astype(str), "S8")),
    ("CTD205", "task", lambda raw: raw["/signals/states"].axes.pop(1)),
    ("CTD205", "task", lambda raw: raw["/trials/split"].axes.pop(0)),
    ("CTD206", "recording", drop("/signals/spikes")),
    (
        "CTD206",
        "recording",
        add("/signals/activity", np.zeros((6, 5, 4)), "<f4", ["trial", "time", "neuron"], unit="1"),
    ),
    ("CTD207", "task", add("/signals/rates", np.zeros((6, 5, 1)), "<f4", unit="spikes/s")),
    (
        "CTD207",
        "recording",
        add("/truth/spikes", np.zeros((6, 5, 4)), "<u2", ["trial", "time", "neuron"], unit="count"),
    ),
    ("CTD209", "recording", add("/signals/spiks", np.zeros((6, 5, 4)), "<f4")),
    ("CTD209", "recording", add("/notes", np.zeros(3), "<f4")),
    ("CTD210", "task", drop("/trials/split")),
    ("CTD210", "recording", drop("/neurons/held_out")),
    ("CTD211", "recording", attribute("/signals/spikes", "unit", None)),
    ("CTD211", "recording", attribute("/signals/spikes", "unit", "Hz")),
    ("CTD211", "recording", attribute("/signals/inputs", "unit", 3)),
    ("CTD211", "recording", attribute("/time", "unit", "ms")),
    ("CTD211", "recording", attribute("/trials/length", "unit", None)),
    ("CTD211", "recording", attribute("/phases/go", "unit", "s")),
    ("CTD212", "recording", attribute("/time", "bin_width", None)),
    ("CTD212", "recording", attribute("/time", "bin_width", -0.01)),
    ("CTD212", "recording", attribute("/time", "bin_width", float("nan"))),
    ("CTD212", "recording", attribute("/time", "bin_width", "10 ms")),
    ("CTD213", "recording", both(drop("/phases"), add("/phases", [1, 2], "<i4"))),
    (
        "CTD213",
        "task",
        both(drop("/signals"), drop("/dynamics"), drop("/readout"), add("/signals", [1], "<i4")),
    ),
    ("CTD301", "recording", array("/trial", put(1, 100))),
    ("CTD301", "recording", array("/neuron", put(1, 0))),
    ("CTD302", "recording", array("/time", put(2, 0.5))),
    ("CTD302", "recording", array("/time", lambda v: v[::-1])),
    ("CTD302", "recording", attribute("/time", "bin_width", 0.02)),
    ("CTD303", "recording", array("/time", put(2, np.nan))),
    ("CTD303", "task", array("/signals/states", put((0, 0, 0), np.nan))),
    ("CTD303", "recording", array("/signals/behavior", put((0, 1, 0), np.inf))),
    ("CTD304", "task", array("/trials/split", put(0, 3))),
    ("CTD304", "task", add("/trials/split_fold1", [0, 1, 2, 3, 0, 0], "|u1", ["trial"])),
    ("CTD305", "inference", array("/trials/length", put(0, 6))),
    ("CTD307", "task", array("/trials/condition", put(0, 2))),
    ("CTD307", "task", array("/trials/condition", put(0, -2))),
    ("CTD307", "recording", regions("/neurons/region", "neuron", [0, 0, 1, 2])),
    ("CTD308", "recording", array("/neurons/held_out", put(0, 2))),
    ("CTD308", "recording", add("/times/forward", [0, 0, 0, 0, 7], "|u1", ["time"])),
    (
        "CTD308",
        "recording",
        add(
            "/signals/observed",
            put((0, 0, 0), 2)(np.zeros((6, 5, 4))),
            "|u1",
            ["trial", "time", "neuron"],
            unit="",
        ),
    ),
    ("CTD309", "task", array("/phases/go", put((0, 1), 6))),
    ("CTD309", "task", array("/phases/go", put((0, 0), -1))),
    ("CTD309", "task", array("/phases/go", put(0, [3, 2]))),
    ("CTD310", "inference", array("/signals/rates", put((0, 0, 0), -1))),
    ("CTD311", "recording", regions("/neurons/region", "neuron", [0, 1, 1, 0])),
    (
        "CTD311",
        "inference",
        both(add("/control", [0, 1, 2], "<i8"), regions("/controls/region", "control", [0, 1, 0])),
    ),
    ("CTD312", "task", array("/conditions/name", put(1, b"left"))),
    ("CTD401", "task", attribute("/dynamics", "kind", "liquid")),
    ("CTD402", "task", attribute("/dynamics", "kind", None)),
    ("CTD402", "task", attribute("/dynamics", "noise_std", None)),
    ("CTD402", "task", attribute("/dynamics", "noise_std", -1.0)),
    ("CTD402", "task", attribute("/dynamics", "inputs", "inputs")),
    ("CTD402", "task", attribute("/dynamics", "reset", "never")),
    ("CTD402", "task", drop("/dynamics/parameters/weight_state")),
    ("CTD402", "task", array("/dynamics/parameters/weight_state", lambda v: v[1:])),
    ("CTD402", "task", array("/dynamics/parameters/bias_state", lambda v: v[1:])),
    ("CTD403", "task", drop("/dynamics/probe")),
    ("CTD403", "task", drop("/dynamics/probe/input")),
    ("CTD403", "task", array("/dynamics/probe/next_state", lambda v: v[1:])),
    ("CTD404", "task", attribute("/dynamics", "reset", "before")),
    ("CTD404", "task", array("/dynamics/parameters/weight_state", lambda v: np.roll(v, 2, axis=0))),
    ("CTD404", "task", array("/dynamics/probe/next_state", lambda v: v + 1e-3)),
    ("CTD404", "recording", array("/truth/dynamics/parameters/A", lambda v: v.T)),
    ("CTD405", "recording", attribute("/truth/dynamics", "inputs", ["pulses"])),
    ("CTD406", "inference", swap_axes_of_state),
    ("CTD406", "recording", attribute("/truth/dynamics", "inputs", ["inputs", "behavior"])),
    ("CTD407", "task", attribute("/readout", "kind", "mlp")),
    ("CTD407", "task", attribute("/readout", "scale", None)),
    ("CTD407", "task", attribute("/readout", "scale", -1.0)),
    ("CTD407", "task", attribute("/readout/layer_0", "nonlinearity", "sine")),
    ("CTD407", "task", array("/readout/layer_0/weight", lambda v: v[:, :1])),
    ("CTD407", "task", drop("/readout/layer_0")),
    ("CTD501", "task", attribute("/provenance", "producer", None)),
    ("CTD501", "task", attribute("/provenance", "seed", "one")),
    ("CTD502", "task", attribute("/provenance", "created", "yesterday")),
    ("CTD502", "task", attribute("/provenance", "created", "2026-11-21T12:00:00")),
    ("CTD503", "task", attribute("/provenance", "config", "{'a': 1}")),
    ("CTD503", "task", attribute("/provenance", "environment", "[]")),
    ("CTD504", "inference", attribute("/provenance/parents/0", "ctd_digest", None)),
    ("CTD505", "task", attribute("/provenance", "config", json.dumps({"source": ["/home/someone/task.h5"]}))),
]


@pytest.mark.parametrize(
    ("code", "kind", "change"), MUTATIONS, ids=[f"{code}-{i}" for i, (code, _, _) in enumerate(MUTATIONS)]
)
def test_one_mutation_gives_one_code(code, kind, change, edited):
    path = edited(kind, change)
    findings = cc.validate(path)
    assert {finding.code for finding in findings} == {code}, "\n".join(map(str, findings))
    for finding in findings:
        assert finding.path.startswith(f"{path.name}:/")
        assert finding.expected
        assert finding.got
        assert finding.fix


@pytest.mark.parametrize("kind", EVERY)
def test_an_unchanged_copy_is_valid(kind, edited, toy_files):
    path = edited(kind, lambda raw: None)
    assert cc.validate(path) == []
    with cc.open(path) as copy, cc.open(toy_files[kind]) as original:
        assert copy.digest == original.digest


def test_scales_that_are_no_scales(edited):
    findings = cc.validate(edited("task", lambda raw: None, scales=False))
    assert {finding.code for finding in findings} == {"CTD205"}


def test_padding_is_zero(edited):
    def change(raw):
        trial = int(np.argmin(raw["/trials/length"].array))
        assert raw["/trials/length"].array[trial] < 5
        raw["/signals/spikes"].array[trial, -1, 0] = 1

    assert [finding.code for finding in cc.validate(edited("recording", change))] == ["CTD306"]


def test_nan_in_the_padding_of_behavior_is_no_padding(edited):
    def change(raw):
        raw["/signals/behavior"].array[np.argmin(raw["/trials/length"].array), -1] = np.nan

    assert [finding.code for finding in cc.validate(edited("recording", change))] == ["CTD306"]


def test_digest_covers_values_and_attributes(edited, toy_files):
    with cc.open(toy_files["task"]) as file:
        sealed = file.digest
    for change in (
        array("/signals/targets", lambda v: v[::-1]),
        attribute("/signals/targets", "unit", "m"),
        attribute("/", "title", "another"),
        attribute("/dynamics", "noise_std", 0.5),
        drop("/signals/targets"),
    ):
        path = edited("task", both(change, attribute("/", "ctd_digest", sealed)))
        with cc.open(path) as file:
            assert file.digest != sealed
    for change in (
        attribute("/provenance", "run", "x"),
        attribute("/", "ctd_id", str(__import__("uuid").uuid4())),
    ):
        with cc.open(edited("task", change)) as file:
            assert file.digest == sealed


def test_every_finding_is_reported_and_reading_raises_the_first_error(edited):
    def change(raw):
        raw["/"].attributes["ctd_id"] = "x"
        raw["/signals/states"].attributes["unit"] = "V"
        raw.set("/signals/outputs", raw["/signals/outputs"].array[:3])

    path = edited("task", change)
    codes = [finding.code for finding in cc.validate(path)]
    assert sorted(codes) == ["CTD108", "CTD203", "CTD211"]
    with pytest.raises(cc.ContractError) as caught:
        cc.open(path)
    assert caught.value.code == codes[0]


def test_the_text_of_an_error(edited):
    path = edited("recording", array("/signals/spikes", lambda v: v[:, :, :3]))
    with pytest.raises(cc.ContractError) as caught:
        cc.open(path)
    assert str(caught.value) == (
        "CTD203 error  recording.h5:/signals/spikes\n"
        "  expected axes (trial=6, time=5, neuron=4), got (6, 5, 3)\n"
        "  fix: /neuron lists 4; rewrite the array or mend /neuron"
    )


def test_newer_minor_versions_are_read_with_one_warning(edited):
    def change(raw):
        raw["/"].attributes["ctd_contract"] = "1.7"
        add("/signals/dreams", np.zeros((6, 5, 4)), "<f4")(raw)
        add("/hopes/fears", np.zeros(2), "<f8")(raw)
        raw["/signals/states"].attributes["mood"] = "good"

    path = edited("task", change)
    with pytest.warns(cc.ContractWarning) as caught:
        file = cc.open(path)
    with file:
        assert "dreams" not in file.signals
        assert file.signals["states"].shape == (6, 5, 2)
    assert len(caught) == 1
    assert "dreams" in str(caught[0].message)
    assert "hopes" in str(caught[0].message)


def test_structure_reads_no_values(edited):
    path = edited("task", array("/signals/states", put((0, 0, 0), np.nan)))
    assert cc.validate(path, "structure") == []


def test_parents_are_compared(tmp_path, toy_files):
    other = testing.make_recording(tmp_path / "other.h5", n_trials=6, seed=1)
    assert cc.validate(toy_files["inference"], parents=[toy_files["recording"]]) == []
    assert [f.code for f in cc.validate(toy_files["inference"], parents=[other])] == ["CTD506"]


def test_fixed_points_are_checked(tmp_path):
    def write(**arrays):
        with cc.create(tmp_path / "a.h5", "analysis", name="a", producer="t 1", overwrite=True) as file:
            file.fixed_points("truth", arrays)

    write(state=np.zeros((3, 2)), speed=np.zeros(3), eigenvalues=np.zeros((3, 2), complex))
    with cc.open(tmp_path / "a.h5") as file:
        assert file.fixed_points["truth"]["eigenvalues"].shape == (3, 2, 2)
    for code, arrays in {
        "CTD203": {"state": np.zeros((3, 2)), "speed": np.zeros(2)},
        "CTD206": {"state": np.zeros((3, 2))},
    }.items():
        with pytest.raises(cc.ContractError) as caught:
            write(**arrays)
        assert caught.value.code == code


def test_every_code_is_tested():
    here = {code for code, _, _ in MUTATIONS} | {"CTD306", "CTD506"}
    # Damage and hostile storage: test_hostile.py; requests: test_writing.py and test_reading.py.
    elsewhere = {f"CTD{number}" for number in (101, 102, 103, 109, 110, 111, 112, 113, 114, 115, 116)}
    elsewhere |= {f"CTD{number}" for number in (208, 601, 602, 603, 605, 606, 607)}
    # CTD7xx are the converters' own.
    assert here | elsewhere == {code for code in CODES if not code.startswith("CTD7")}
    assert not here & elsewhere


def test_unknown_level():
    with pytest.raises(ValueError, match="structure"):
        cc.validate("x.h5", "deep")  # type: ignore[arg-type]


def test_unknown_dynamics_read_as_opaque(edited):
    path = edited("task", attribute("/dynamics", "kind", "liquid"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with cc.open(path) as file:
            dynamics = file.dynamics()
    assert dynamics is not None
    assert dynamics.kind == "opaque"
