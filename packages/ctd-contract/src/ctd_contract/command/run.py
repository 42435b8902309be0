"""The folder of a run: what it is called, whose it is, and whether it is finished."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctd_contract.command.errors import UserError

MARKER = "run.json"
LOCK = ".lock"
# Where a finished run waits until the one that overwrites it has finished as well.
PREVIOUS = ".previous"


@dataclass(frozen=True)
class Run:
    """One run of a command.

    Attributes:
        folder: Where everything that the run writes goes.
        result: The file that the run exists to write; there once the run has finished.
        config: The resolved configuration without paths, for provenance.
        id: Hash of the configuration, the input files' digests and the package's version.
        resume: Whether to continue from the last checkpoint.
    """

    folder: Path
    result: Path
    config: dict[str, Any]
    id: str
    resume: bool

    @property
    def marker(self) -> Path:
        """The file that says whose folder this is."""
        return self.folder / MARKER


def run_id(command: str, version: str, config: dict[str, Any], digests: dict[str, Any]) -> str:
    """Hash of everything that a run's result depends on (16 hexadecimal digits)."""
    identity = {"command": command, "version": version, "config": config, "files": digests}
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def claim(run: Run, *, overwrite: bool) -> Iterator[bool]:
    """Hold the run's folder; yields False where the run has already finished.

    Raises:
        UserError: The folder belongs to another run, another process is at work in it, or an
            interrupted run lies in it and neither `resume` nor `overwrite` was asked for.
    """
    make_folder(run.folder)
    with _locked(run.folder / LOCK, run.folder):
        owner = json.loads(run.marker.read_text())["id"] if run.marker.exists() else None
        if overwrite and owner is not None:
            _set_aside(run)
            owner = None
        if owner == run.id and run.result.exists():
            yield False
            return
        _check_owner(run, owner, overwrite=overwrite)
        partial = run.marker.with_suffix(".tmp")
        partial.write_text(json.dumps({"id": run.id, "config": run.config}, indent=1, default=str))
        partial.replace(run.marker)
        try:
            yield True
        except BaseException:
            _leave_no_empty_run(run.folder)
            raise
        shutil.rmtree(run.folder / PREVIOUS, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Make a folder to write to.

    Raises:
        UserError: It can't be one.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise UserError(f"can't make the folder {folder} ({error.strerror}): choose another out=") from error


def _leave_no_empty_run(folder: Path) -> None:
    """Forget a run that failed before it wrote anything, so that a corrected one may take its folder."""
    if {path.name for path in folder.iterdir()} <= {MARKER, LOCK, PREVIOUS, "config.yaml"}:
        _empty(folder)
        _move(folder / PREVIOUS, folder)


def _set_aside(run: Run) -> None:
    """Make room in the folder: an unfinished run is discarded, a finished one kept until this one is."""
    if run.result.exists():
        shutil.rmtree(run.folder / PREVIOUS, ignore_errors=True)
        _move(run.folder, run.folder / PREVIOUS)
    _empty(run.folder)


def _move(source: Path, target: Path) -> None:
    """Move what a run left from one folder to another; the marker last, without which it is no run."""
    if not source.is_dir():
        return
    target.mkdir(exist_ok=True)
    for path in sorted(source.iterdir(), key=lambda path: path.name == MARKER):
        if path.name not in (LOCK, PREVIOUS):
            path.replace(target / path.name)
    if source.name == PREVIOUS:
        source.rmdir()


def _check_owner(run: Run, owner: str | None, *, overwrite: bool) -> None:
    if owner is None:
        if run.result.exists() and not overwrite:
            raise UserError(
                f"{run.result} exists and is no run's of ours: choose another out= or add overwrite=true"
            )
    elif owner != run.id:
        raise UserError(
            f"{run.folder} holds a run with another configuration, input or version "
            f"({owner}, this one is {run.id}): choose another out= or add overwrite=true"
        )
    elif not run.resume:
        raise UserError(
            f"{run.folder} holds an interrupted run: add resume=true to continue it, "
            "or overwrite=true to start again"
        )


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            if path.name != PREVIOUS:
                shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


@contextmanager
def _locked(path: Path, folder: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # no such locks on Windows: two runs in one folder are then the user's to avoid
        yield
        return
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another process is at work in {folder}: wait for it, or choose another out="
            ) from None
        yield
    finally:
        os.close(handle)
