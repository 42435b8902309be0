"""The page of the contract says what the code does, and its examples run."""

import hashlib
import importlib.util
import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from ctd_contract.codes import CODES
from ctd_contract.convert import READERS
from ctd_contract.dynamics import DYNAMICS_KINDS, NONLINEARITIES
from ctd_contract.schema import AXES, COLUMNS, KINDS, SIGNALS, TEXT
from ctd_contract.testing import make_recording
from ctd_contract.validation import validate

README = (Path(__file__).parents[1] / "README.md").read_text()
PAGE = (Path(__file__).parents[3] / "docs" / "contract.md").read_text()


def row(*cells):
    return re.sub(" +", " ", f"| {' | '.join(cells)} |")


def types(dtypes):
    return ", ".join("string" if dtype == TEXT else np.dtype(dtype).name for dtype in dtypes)


def unit(spec):
    return "own" if spec.unit is None else spec.unit


@pytest.mark.parametrize("axis", AXES.values(), ids=lambda axis: axis.name)
def test_axes(axis):
    expected = row(
        f"`{axis.name}`", np.dtype(axis.dtype).name, f"`{axis.table}`", ", ".join(axis.required), axis.note
    )
    assert expected in PAGE


@pytest.mark.parametrize("column", COLUMNS.values(), ids=lambda column: column.name)
def test_columns(column):
    name = f"`{column.table}/{column.name}`"
    assert row(name, types(column.dtypes), unit(column), ", ".join(column.required), column.note) in PAGE


@pytest.mark.parametrize("signal", SIGNALS.values(), ids=lambda signal: signal.name)
def test_signals(signal):
    cells = (f"`{signal.name}`", ", ".join(signal.axes), types(signal.dtypes), unit(signal))
    assert row(*cells, ", ".join(signal.kinds), "yes" if signal.truth else "", signal.note) in PAGE


def test_codes():
    assert re.findall(r"^\| (CTD\d+) \| (.*) \|$", PAGE, re.MULTILINE) == list(CODES.items())


def test_kinds_of_files_dynamics_functions_and_formats():
    for kind in KINDS:
        assert f"| `{kind}` |" in PAGE
    assert set(re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE)) == set(DYNAMICS_KINDS)
    functions = PAGE.split("### Nonlinearities")[1].split("###")[0]
    assert set(re.findall(r"`(\w+)`", functions)) == set(NONLINEARITIES)
    converting = PAGE.split("## Converting")[1]
    assert all(name.lower() in converting.lower() for name in READERS)


def test_parameters_and_attributes_of_every_kind():
    for kind, cls in DYNAMICS_KINDS.items():
        text = PAGE.split(f"### `{kind}`")[1].split("\n###")[0]
        arguments = cls.__init__.__kwdefaults__.keys() | set(cls.__init__.__annotations__)
        layers = {name for name in arguments if name.endswith(("weights", "biases"))}
        for name in arguments - layers - {"inputs", "noise_std", "return"}:
            assert f"`{name}`" in text, f"{kind}: {name}"


@pytest.mark.parametrize(("text", "count"), [(PAGE, 4), (README, 2)], ids=["contract.md", "README.md"])
def test_examples_run(tmp_path, monkeypatch, text, count):
    monkeypatch.chdir(tmp_path)
    names = {}
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) == count
    for example in examples:
        if "ctd_contract.torch" in example and importlib.util.find_spec("torch") is None:
            continue  # an extra's example, run where the extra is installed
        exec(compile(example, "example", "exec"), names)
    written = sorted(path.name for path in tmp_path.iterdir())
    assert {"inference.h5", "recording.h5"} <= set(written)
    assert [finding for name in written for finding in validate(name)] == []


def test_the_digest_follows_from_the_text_alone(tmp_path):
    """As the page describes it, with h5py, json and hashlib."""
    path = make_recording(tmp_path / "recording.h5", lengths=True)
    managed = {"CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "DIMENSION_LABELS"}
    lines = []

    def plain(value):
        if isinstance(value, bytes):
            return value.decode()
        return [plain(v) for v in value.tolist()] if isinstance(value, np.ndarray) else value.item()

    def add(name, item):
        attributes = {k: plain(v) for k, v in item.attrs.items() if k not in managed}
        if name == "":
            attributes = {
                k: v for k, v in attributes.items() if k not in {"ctd_id", "ctd_digest", "ctd_complete"}
            }
        described = ["", [], ""]
        if isinstance(item, h5py.Dataset):
            described = [item.dtype.str, list(item.shape), hashlib.sha256(item[()].tobytes()).hexdigest()]
        if name.split("/")[0] != "provenance":
            lines.append(json.dumps([f"/{name}", *described, attributes], sort_keys=True, ensure_ascii=False))

    with h5py.File(path) as file:
        add("", file)
        file.visititems(add)
        digest = file.attrs["ctd_digest"].decode()
    assert hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest() == digest
