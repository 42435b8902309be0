"""Findings while they are collected."""

from __future__ import annotations

from .errors import ERROR, WARNING, ContractError, Finding


class Report:
    """Collects findings about one file.

    Attributes:
        findings: In the order in which they were found.
    """

    def __init__(self, file_name: str):
        self.file_name = file_name
        self.findings: list[Finding] = []

    def error(self, code: str, path: str, expected: str, got: str, fix: str) -> None:
        """Note an error at an object of the file."""
        self._add(code, ERROR, path, expected, got, fix)

    def warning(self, code: str, path: str, expected: str, got: str, fix: str) -> None:
        """Note something that does no harm but should be known."""
        self._add(code, WARNING, path, expected, got, fix)

    @property
    def errors(self) -> list[Finding]:
        """The findings that are errors."""
        return [finding for finding in self.findings if finding.severity == ERROR]

    def raise_first(self) -> None:
        """Raise the first error, if there is one."""
        for found in self.errors:
            raise ContractError(found.code, found.path, found.expected, found.got, found.fix)

    def _add(self, code: str, severity: str, path: str, expected: str, got: str, fix: str) -> None:
        self.findings.append(Finding(code, severity, f"{self.file_name}:{path}", expected, got, fix))
