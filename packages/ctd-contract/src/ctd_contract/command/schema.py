"""From dataclasses to Hydra's configuration: one node a command, one a choice."""

from __future__ import annotations

import dataclasses
import typing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctd_contract.command.application import Command

HELP = """{name}: {summary}

{groups}
Settings (change any with KEY=VALUE; keys may be nested: a.b=VALUE):

$CONFIG
Example:
  {example}

-m runs every combination of KEY=A,B,...; --cfg job prints the configuration; --version the version.
Exit codes: 0 done, 1 the run failed, 2 bad input.
"""


def store(command: Command) -> None:
    """Register a command's settings and choices in Hydra's store."""
    from hydra.core.config_store import ConfigStore

    repository = ConfigStore.instance()
    repository.store(name=command.name, node=_root(command))
    for group, options in command.groups.items():
        for name, option in options.items():
            repository.store(group=group, name=name, node=option)


def _root(command: Command) -> type:
    """The root node: the command's dataclass, its choices left open for the defaults list to fill."""
    defaults: list[Any] = ["_self_", *({group: command.choices[group]} for group in command.groups)]
    defaults += [{"override hydra/job_logging": "none"}, {"override hydra/hydra_logging": "none"}]
    hidden: list[tuple[str, Any, Any]] = [
        ("defaults", list[Any], dataclasses.field(default_factory=lambda: defaults)),
        ("hydra", Any, dataclasses.field(default_factory=lambda: _hydra_settings(command))),
    ]
    return dataclasses.make_dataclass(f"{command.config.__name__}Node", [*_fields(command), *hidden])


def _fields(command: Command) -> list[tuple[str, Any, Any]]:
    hints = typing.get_type_hints(command.config)
    fields: list[tuple[str, Any, Any]] = []
    for item in dataclasses.fields(command.config):
        if item.name in command.groups:
            fields.append((item.name, Any, dataclasses.field(default="???")))
        elif item.default_factory is not dataclasses.MISSING:
            fields.append(
                (item.name, hints[item.name], dataclasses.field(default_factory=item.default_factory))
            )
        else:
            default = "???" if item.default is dataclasses.MISSING else item.default
            fields.append((item.name, hints[item.name], dataclasses.field(default=default)))
    return fields


def _hydra_settings(command: Command) -> dict[str, Any]:
    groups = "".join(f"{group}: {', '.join(options)}\n" for group, options in command.groups.items())
    if command.presets:
        groups += f"preset: {', '.join(command.presets)}\n"
    template = HELP.format(
        name=command.name,
        summary=command.summary,
        example=command.example,
        groups=f"Choices (GROUP=OPTION):\n\n{groups}" if groups else "",
    )
    return {
        "output_subdir": None,
        "run": {"dir": "."},
        "sweep": {"dir": f"outputs/{command.name}", "subdir": "."},
        "job": {"chdir": False},
        "help": {"app_name": command.name, "template": template},
    }
