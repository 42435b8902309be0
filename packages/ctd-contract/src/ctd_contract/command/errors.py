"""Errors of commands and their exit codes."""

from __future__ import annotations

import errno
import sys
import traceback

from ctd_contract.errors import ContractError

BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130


class UserError(ValueError):
    """Bad input: one sentence that says what is wrong and what to do. The command exits with 2."""


class RunFailed(RuntimeError):  # noqa: N818
    """A run that failed for a reason that one sentence says in full. The command exits with 1."""


class JobError(Exception):
    """A job of a sweep failed; its sentence is already printed."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a job of the sweep failed with exit code {code}")
        self.code = code


def report_error(error: BaseException, *, command: str, debug: bool) -> int:
    """Print one clear sentence for an error on standard error; return the exit code."""
    if debug:
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        message, code = "interrupted; the same command with resume=true continues", INTERRUPTED
    elif isinstance(error, (UserError, ContractError)):
        unwritable = isinstance(error, ContractError) and error.code == "CTD601"
        message, code = str(error), FAILED if unwritable else BAD_INPUT
    elif isinstance(error, RunFailed):
        message, code = str(error), FAILED
    elif _disk_is_full(error):
        message, code = f"the disk is full{_where(error)}: free some space, then add resume=true", FAILED
    else:
        hint = "" if debug else " (debug=true shows the traceback)"
        message, code = f"{type(error).__name__}: {error}{hint}", FAILED
    print(f"{command}: {message}", file=sys.stderr)  # noqa: T201
    return code


def _disk_is_full(error: BaseException) -> bool:
    # Libraries that write by themselves (safetensors, HDF5) raise errors of their own, without the number.
    numbered = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return numbered or "No space left on device" in str(error)


def _where(error: BaseException) -> str:
    name = getattr(error, "filename", None)
    return f" ({name})" if name else ""
