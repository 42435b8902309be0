"""The options of `ctd-contract convert` that say what a source doesn't, or not in the contract's names."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

from .convert import Design, Labels, Selection

T = TypeVar("T")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add them to the parser, in groups."""
    named = parser.add_argument_group("what is taken of a .npz or .mat file")
    _add_selection(named)
    drawn = parser.add_argument_group("what the recording is to have")
    _add_design(drawn)
    called = parser.add_argument_group("names and units")
    called.add_argument("--name", metavar="NAME", help="of the recording (default: that of the source)")
    _repeated(called, "--unit", "SIGNAL=UNIT", "unit of a signal: behavior=mm/s", str)
    _repeated(
        called, "--channels", "AXIS=NAME,...", "names along an axis: behavior=x,y, input=cue,go", _list(str)
    )


def _add_selection(group: argparse._ArgumentGroup) -> None:
    _repeated(
        group,
        "--map",
        "NAME=VARIABLE,...",
        "what a name of the contract is called in the source; several variables are joined along their "
        "channels, dots lead into structures (spikes=trials.counts), trials/NAME makes a column",
        _list(str),
    )
    _repeated(
        group,
        "--where",
        "VARIABLE=VALUE,...",
        "keep the trials with one of these values; given again, all must hold",
        _list(str),
    )
    group.add_argument(
        "--neurons",
        default="",
        metavar="VARIABLE",
        help="keep the channels that it lists (from 1 in .mat, from 0 in .npz) or marks",
    )
    group.add_argument(
        "--bins", type=int, metavar="N", help="keep the first N bins; leave out shorter trials"
    )
    group.add_argument(
        "--bins-per-trial", type=int, metavar="N", help="arrays are (row, channel), N rows for each trial"
    )
    group.add_argument("--channels-first", action="store_true", help="trials are (channel, time)")
    group.add_argument(
        "--residuals",
        action="store_true",
        help="data are counts less a mean for each neuron and bin: take the least counts they can be",
    )
    _repeated(group, "--scale", "SIGNAL=FACTOR,...", "factor of each channel, or one for all", _list(float))


def _add_design(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--seed", type=int, default=0, help="seed of all that is drawn (default 0)")
    group.add_argument(
        "--valid", type=float, metavar="SHARE", help="of the trials, or of train where the source has a test"
    )
    group.add_argument("--test", type=float, metavar="SHARE", help="of the trials, where the source has none")
    group.add_argument(
        "--held-out",
        type=float,
        default=0,
        metavar="N",
        help="hide so many neurons, drawn by the seed; below 1 a share, of each region where there are some",
    )
    group.add_argument("--forward", type=int, default=0, metavar="N", help="hide the last N bins")
    group.add_argument(
        "--regions",
        type=_sizes,
        default={},
        metavar="NAME=N,...",
        help="regions and how many neurons each has, in their order",
    )
    group.add_argument(
        "--trials-per-condition",
        type=int,
        metavar="N",
        help="trial ids count through the conditions, N trials of each",
    )


def design_of(arguments: argparse.Namespace) -> Design:
    """What is drawn or stated beside the source."""
    return Design(
        seed=arguments.seed,
        valid=arguments.valid,
        test=arguments.test,
        held_out=arguments.held_out,
        forward=arguments.forward,
        regions=arguments.regions,
        trials_per_condition=arguments.trials_per_condition,
    )


def selection_of(arguments: argparse.Namespace) -> Selection:
    """What is taken of the source."""
    return Selection(
        names=dict(arguments.map),
        where=dict(arguments.where),
        neurons=arguments.neurons,
        bins=arguments.bins,
        bins_per_trial=arguments.bins_per_trial,
        channels_first=arguments.channels_first,
        residuals=arguments.residuals,
        scale=dict(arguments.scale),
    )


def labels_of(arguments: argparse.Namespace) -> Labels:
    """Names and units."""
    return Labels(name=arguments.name, units=dict(arguments.unit), channels=dict(arguments.channels))


def _repeated(
    group: argparse._ArgumentGroup, option: str, metavar: str, help_: str, value: Callable[[str], object]
) -> None:
    """An option KEY=VALUE that may be given again."""
    group.add_argument(
        option, action="append", default=[], type=_pair(value), metavar=metavar, help=f"{help_}; repeatable"
    )


def _pair(value: Callable[[str], T]) -> Callable[[str], tuple[str, T]]:
    def parse(text: str) -> tuple[str, T]:
        key, equals, rest = text.partition("=")
        if not (key and equals and rest):
            raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
        try:
            return key, value(rest)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{key}: {error}") from error

    return parse


def _list(value: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    return lambda text: tuple(value(part) for part in text.split(","))


def _sizes(text: str) -> dict[str, int]:
    return dict(_pair(int)(part) for part in text.split(","))
