"""Options of the tests of ctd-contract."""

from __future__ import annotations

import importlib.util

import pytest

# The parts that stand on extras are tested where these are installed.
collect_ignore = [
    folder
    for folder, needs in {"command": "hydra", "torch": "torch"}.items()
    if not importlib.util.find_spec(needs)
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--files", type=int, default=10_000, help="how many files the fuzz session breaks")
