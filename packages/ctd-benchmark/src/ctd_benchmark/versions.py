"""Interpreters of the packages, and what is installed in them."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

CONTRACT = "ctd-contract"
ASK = "import sys, importlib.metadata as m; print(*(m.version(name) for name in sys.argv[1:]))"


def package_versions(package: str, interpreters: Mapping[str, str]) -> dict[str, str]:
    """Versions of a package and of ctd-contract, as its interpreter has them.

    Args:
        package: The package.
        interpreters: Package to Python; packages that aren't named run with this one.

    Raises:
        ValueError: It isn't installed there, or there is no such interpreter.
    """
    names = (package, CONTRACT)
    interpreter = interpreters.get(package)
    if interpreter is not None and interpreter != sys.executable:
        return dict(zip(names, _ask(interpreter, names), strict=True))
    try:
        return {name: version(name) for name in names}
    except PackageNotFoundError as error:
        raise ValueError(_missing(str(error.name), "this Python", package)) from error


@functools.cache
def _ask(interpreter: str, names: tuple[str, ...]) -> list[str]:
    try:
        done = subprocess.run(
            [interpreter, "-c", ASK, *names], capture_output=True, text=True, timeout=60, check=False
        )
    except OSError as error:
        raise ValueError(f"{_key(names[0])}: {interpreter} can't be run ({error.strerror})") from error
    answer = done.stdout.split()
    if done.returncode != 0 or len(answer) != len(names):
        raise ValueError(_missing(" or ".join(names), interpreter, names[0]))
    return answer


def _missing(name: str, place: str, package: str) -> str:
    return (
        f"{name} is not installed for {place}: install it there, "
        f"or name another with {_key(package)}=/path/to/python"
    )


def _key(package: str) -> str:
    return f"interpreters.{package.replace('-', '_')}"


def command_line(package: str, interpreters: Mapping[str, str], command: str = "") -> list[str]:
    """How the package's command starts, or a sub-command of it."""
    start = [interpreters.get(package, sys.executable), "-m", package.replace("-", "_")]
    return [*start, command] if command else start
