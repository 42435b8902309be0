"""The documentation's example of an own task runs as it stands there."""

import re
from pathlib import Path

import gymnasium
import pytest

import ctd_contract as cc
from ctd_contract.validation import validate
from ctd_tasks import TASKS
from ctd_tasks.cli import COMMAND

PAGE = Path(__file__).parents[3] / "docs" / "add-a-task.md"


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "delayed_choice"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(block, PAGE, "exec"), names)
    yield names
    del TASKS["delayed_choice"]
    del gymnasium.registry["ctd/DelayedChoice-v0"]


def test_the_example_trains_and_is_known_to_the_command(page, tmp_path):
    assert page["score"].success > 0.95
    path = tmp_path / "outputs" / "delayed_choice" / "task.h5"
    assert validate(path, level="full") == []
    with cc.open(path) as file:
        assert file.names("condition") == ["left", "right"]
        go = file.phases["response"][:, 0]
        clean = file.signals["inputs_clean"][:]
        assert all(clean[k, go[k], 2] == 1 and clean[k, go[k] - 1, 2] == 0 for k in range(len(go)))
    assert COMMAND.invoke(["task=delayed_choice", "task.flash_bins=none"]) == 2
    arguments = [
        "task=delayed_choice",
        "network=gru",
        "network.units=4",
        "training.max_epochs=1",
        "training.n_train=20",
    ]
    more = ["simulation.n_trials=5", "training.accelerator=cpu", "out=run"]
    assert COMMAND.invoke([*arguments, *more]) == 0
    assert (tmp_path / "run" / "task.h5").exists()
