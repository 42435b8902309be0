"""Validation of a file: every finding, not just the first."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from . import content, reader, structure
from .errors import ContractError, Finding
from .inventory import open_file, take
from .report import Report


def validate(
    path: str | os.PathLike[str],
    level: Literal["structure", "full"] = "full",
    *,
    parents: Sequence[str | os.PathLike[str]] = (),
) -> list[Finding]:
    """Everything that is wrong with a file; empty when nothing is.

    Arguments:
        path: The file.
        level: ``structure`` reads no arrays. ``full`` streams them: finite values, counts, splits,
            padding, digest, and the probe of the dynamics.
        parents: Files that this one should have been made from; their ids and digests are compared.

    Returns:
        The findings in the order of the file; `ctd_contract.codes.CODES` explains their codes.
    """
    if level not in ("structure", "full"):
        raise ValueError(f"expected level 'structure' or 'full', got {level!r}")
    path = Path(path)
    report = Report(path.name)
    try:
        with open_file(path) as file:
            inventory = take(file, report)
            if not report.errors:
                structure.check(inventory, report)
            if level == "full" and not report.errors:
                with warnings.catch_warnings():
                    # An unknown kind of dynamics is a finding already.
                    warnings.simplefilter("ignore")
                    content.check(inventory, report)
    except ContractError as error:
        return [*report.findings, error.finding]
    for parent in parents if not report.errors else ():
        _compare(path, Path(parent), report)
    return report.findings


def _compare(path: Path, parent: Path, report: Report) -> None:
    """Report a parent that isn't one of those that the file names."""
    try:
        with reader.open(parent) as source, reader.open(path) as derived:
            named = {(known.id, known.digest) for known in derived.provenance.parents}
            if (source.id, source.digest) in named:
                return
            got = f"{parent.name} ({source.id})"
            known = ", ".join(identity for identity, _ in named) or "none"
    except ContractError as error:
        report.findings.append(error.finding)
        return
    report.error("CTD506", "/provenance/parents", f"one of {known}", got, "take the file it was made from")
