"""The command `ctd-contract`: validate, inspect and convert files."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from .convert import CONTRACT, READERS, WRITERS, convert
from .convert_options import add_options, design_of, labels_of, selection_of
from .errors import ERROR, ContractError, Finding
from .reader import open as open_file
from .summary import describe
from .validation import validate

EXAMPLES = """examples:
  ctd-contract validate recording.h5
  ctd-contract inspect recording.h5
  ctd-contract convert lfads.h5 recording.h5 --bin-width 0.01
"""
LEVELS = ("structure", "full")
# Of a file that HDF5 or this version can't open at all.
UNREADABLE = frozenset({"CTD101", "CTD102", "CTD103", "CTD106"})
EXIT_CLEAN, EXIT_ERRORS, EXIT_UNREADABLE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 when all is well, 1 when a file breaks the contract, 2 when it can't be read or converted.
    """
    arguments = _parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = _show_warning
        try:
            return arguments.run(arguments)
        except ContractError as error:
            _say(sys.stderr, str(error))
            return EXIT_UNREADABLE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ctd-contract",
        description="Validate, inspect and convert data files of computation through dynamics.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = importlib.metadata.version("ctd-contract")
    parser.add_argument("--version", action="version", version=f"ctd-contract {version}")
    commands = parser.add_subparsers(title="commands", required=True)
    _add_validate(commands)
    _add_inspect(commands)
    _add_convert(commands)
    return parser


def _add_validate(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "validate",
        help="list everything that is wrong with a file",
        description="List everything that is wrong with files. Exits 0 clean, 1 with errors, 2 unreadable.",
        epilog="example:\n  ctd-contract validate recording.h5 --level structure --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--level", choices=LEVELS, default="full", help="structure reads no arrays; full (default) reads all"
    )
    parser.add_argument(
        "--parent",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a file that FILE should have been made from",
    )
    parser.add_argument("--json", action="store_true", help="findings as JSON, for machines")
    parser.set_defaults(run=_validate)


def _add_inspect(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "inspect",
        help="show what a file holds",
        description="Show axes, signals, tables, dynamics, readout and provenance of files as a tree.",
        epilog="example:\n  ctd-contract inspect recording.h5",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE")
    parser.set_defaults(run=_inspect)


def _add_convert(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "convert",
        help="convert other formats to a recording, or a recording to another format",
        description="Convert other formats to a recording, or a recording to another format. The format "
        "of the source is told from the file. A source with two splits gets a third: its valid becomes "
        "test, and a tenth of train, drawn by the seed, becomes valid.",
        epilog="examples:\n  ctd-contract convert lfads.h5 recording.h5 --bin-width 0.01\n"
        "  ctd-contract convert recording.h5 lfads.h5 --to lfads-torch\n"
        "  ctd-contract convert session.mat recording.h5 --bin-width 0.02 --map spikes=trials.counts "
        "--map condition=trials.target --where trials.success=1 --held-out 0.25 --forward 5",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument(
        "--from", dest="source_format", choices=[CONTRACT, *READERS], help="format of the source"
    )
    parser.add_argument(
        "--to", dest="target_format", choices=[CONTRACT, *WRITERS], help="format of the target"
    )
    parser.add_argument(
        "--bin-width", type=float, metavar="S", help="width of a bin in s, where the source is silent"
    )
    add_options(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing target")
    parser.set_defaults(run=_convert)


def _validate(arguments: argparse.Namespace) -> int:
    options = {"level": arguments.level, "parents": arguments.parent}
    found = {str(path): validate(path, **options) for path in arguments.paths}
    if arguments.json:
        listed = [{"path": p, "findings": [asdict(finding) for finding in f]} for p, f in found.items()]
        _say(sys.stdout, json.dumps(listed, indent=2))
    for path, findings in {} if arguments.json else found.items():
        for finding in findings:
            _say(sys.stdout, str(finding))
        errors = sum(finding.severity == ERROR for finding in findings)
        warned = len(findings) - errors
        _say(sys.stdout, f"{path}: {_count(errors, 'error')}, {_count(warned, 'warning')}")
    return max(_exit_code(findings) for findings in found.values())


def _exit_code(findings: Sequence[Finding]) -> int:
    errors = [finding.code for finding in findings if finding.severity == ERROR]
    if not errors:
        return EXIT_CLEAN
    return EXIT_UNREADABLE if UNREADABLE & set(errors) else EXIT_ERRORS


def _inspect(arguments: argparse.Namespace) -> int:
    unicode = "utf" in (sys.stdout.encoding or "").lower()
    for path in arguments.paths:
        with open_file(path) as file:
            _say(sys.stdout, describe(file, unicode=unicode))
    return EXIT_CLEAN


def _convert(arguments: argparse.Namespace) -> int:
    reading, writing = convert(
        arguments.source,
        arguments.target,
        source_format=arguments.source_format,
        target_format=arguments.target_format,
        bin_width_s=arguments.bin_width,
        design=design_of(arguments),
        selection=selection_of(arguments),
        labels=labels_of(arguments),
        overwrite=arguments.overwrite,
    )
    _say(sys.stdout, f"{arguments.source} ({reading}) -> {arguments.target} ({writing})")
    return EXIT_CLEAN


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _say(stream: TextIO, text: str) -> None:
    stream.write(text + "\n")


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    _say(sys.stderr, f"warning: {message}")
