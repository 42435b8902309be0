"""Options of the tests of ctd-contract."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--files", type=int, default=10_000, help="how many files the fuzz session breaks")
