"""What can be wrong with a file: findings, and the error that reading and writing raise."""

from __future__ import annotations

from dataclasses import dataclass

ERROR = "error"
WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a file.

    Attributes:
        code: Permanent code such as ``CTD203``; `ctd_contract.codes.CODES` lists them all.
        severity: ``error`` or ``warning``.
        path: File and place in it, ``sim.h5:/signals/spikes``.
        expected: What should be there.
        got: What is there.
        fix: What to do about it.
    """

    code: str
    severity: str
    path: str
    expected: str
    got: str
    fix: str

    def __str__(self) -> str:
        return (
            f"{self.code} {self.severity:<6} {self.path}\n"
            f"  expected {self.expected}, got {self.got}\n"
            f"  fix: {self.fix}"
        )


class ContractError(ValueError):
    """A file, or a request to write or read one, breaks the contract.

    Arguments:
        code: Permanent code, ``CTD203``.
        path: File and place in it, ``sim.h5:/signals/spikes``.
        expected: What should be there.
        got: What is there.
        fix: What to do about it.
    """

    def __init__(self, code: str, path: str, expected: str, got: str, fix: str):
        super().__init__(code, path, expected, got, fix)
        self.finding = Finding(code, ERROR, path, expected, got, fix)

    code = property(lambda self: self.finding.code)
    path = property(lambda self: self.finding.path)
    expected = property(lambda self: self.finding.expected)
    got = property(lambda self: self.finding.got)
    fix = property(lambda self: self.finding.fix)

    def __str__(self) -> str:
        return str(self.finding)


class ContractWarning(UserWarning):
    """Something in a file is unknown to this reader and is ignored."""
