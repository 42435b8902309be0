"""The README's examples run, and its tables name settings, models and presets that there are."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from ctd_contract.command.suggest import keys
from ctd_models_jax.cli import MODELS

README = (Path(__file__).parents[1] / "README.md").read_text()
# All but that of `fit`, whose arguments are a model's own.
EXAMPLES = [
    code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "result = fit(" not in code
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_examples_run(code, capsys):
    exec(compile(code, "README.md", "exec"), {})
    assert "Traceback" not in capsys.readouterr().err


def test_what_the_tables_name_is_there():
    commands = [importlib.import_module(home).COMMAND for home in MODELS.values()]
    rows = "\n".join(line for line in README.splitlines() if line.startswith("| `"))
    named = re.findall(r"`((?:model|training)\.[\w.]+)`", rows)
    assert len(named) > 20
    assert not set(named) - set().union(*map(keys, commands))
    presets = [row.split("|")[1] for row in rows.splitlines() if row.startswith("| `preset=")]
    assert {preset for command in commands for preset in command.presets} == {
        name.strip("` ").removeprefix("preset=") for row in presets for name in row.split(",")
    }
    assert not [name for name in MODELS if f"| `{name}` |" not in rows]
