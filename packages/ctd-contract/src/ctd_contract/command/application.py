"""A command of ours: a Hydra application whose errors are sentences and whose folder is found again."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, NoReturn

from ctd_contract.command.config import OPERATIONAL, CommandConfig
from ctd_contract.command.errors import JobError, UserError, report_error
from ctd_contract.command.run import Run, claim, run_id


@dataclass(frozen=True)
class Command:
    """A command: its settings, its choices, and the function that does the work.

    Attributes:
        name: What the user types; also the package whose version counts.
        config: Dataclass of all settings, derived from `CommandConfig`.
        run: Called with the settings and the claimed run; writes `Run.result`.
        result: File name of the result inside the run's folder, or a function of the settings that gives it.
        summary: What the command does, in a sentence, for ``--help``.
        example: One line that works, for ``--help``.
        groups: For each field that is a choice: the dataclass of each option.
        choices: The default option of each group.
        files: Fields that name contract files or checkpoints; their digests enter the run's identity.
        presets: Named sets of overrides; ``preset=NAME`` applies them before the user's own.
        claims: Whether a run has one folder of its own; False for a command that looks after many.
    """

    name: str
    config: type[CommandConfig]
    run: Callable[[Any, Run], None]
    result: str | Callable[[Any], str]
    summary: str = ""
    example: str = ""
    groups: Mapping[str, Mapping[str, type]] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[str] = ()
    presets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    claims: bool = True

    def main(self, arguments: Sequence[str] | None = None) -> NoReturn:
        """Run as a script does and leave with the exit code."""
        sys.exit(self.invoke(sys.argv[1:] if arguments is None else arguments))

    def invoke(self, arguments: Sequence[str]) -> int:
        """Run with these arguments; return the exit code: 0, 2 for bad input, 1 for a failed run."""
        if "--version" in arguments:
            print(f"{self.name} {installed_version(self.name)}")  # noqa: T201
            return 0
        debug = "debug=true" in [argument.lower() for argument in arguments]
        try:
            self._hydra(self._expand_preset(list(arguments)))
        except JobError as failed:
            return failed.code
        except SystemExit as leaving:
            return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        except BaseException as error:
            return report_error(self._explain(error), command=self.name, debug=debug)
        return 0

    def _hydra(self, arguments: list[str]) -> None:
        import hydra
        from hydra.core.global_hydra import GlobalHydra

        from ctd_contract.command.schema import store

        store(self)
        argv, sys.argv = sys.argv, [self.name, *arguments]
        full_error = os.environ.get("HYDRA_FULL_ERROR")
        os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra hand its errors to us instead of printing them
        try:
            hydra.main(version_base="1.3", config_path=None, config_name=self.name)(self._task)()
        finally:
            sys.argv = argv
            GlobalHydra.instance().clear()
            if full_error is None:
                del os.environ["HYDRA_FULL_ERROR"]
            else:
                os.environ["HYDRA_FULL_ERROR"] = full_error

    def _expand_preset(self, arguments: list[str]) -> list[str]:
        from ctd_contract.command.suggest import nearest

        chosen = [a.split("=", 1)[1] for a in arguments if a.startswith("preset=")]
        rest = [a for a in arguments if not a.startswith("preset=")]
        for name in chosen:
            if name not in self.presets:
                raise UserError(f"there is no preset {name!r}{nearest(name, self.presets)}")
            rest = [*self.presets[name], *rest]
        return rest

    def _task(self, node: Any) -> None:
        """What Hydra calls, once a job; an error is reported here, before Hydra adds words of its own."""
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        try:
            self._job(node)
        except BaseException as error:
            code = report_error(self._explain(error), command=self.name, debug=bool(node.debug))
            if HydraConfig.get().mode == RunMode.MULTIRUN and isinstance(error, Exception):
                raise JobError(code) from None  # lets the sweep's other jobs run
            raise SystemExit(code) from None

    def _job(self, node: Any) -> None:
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException
        from threadpoolctl import threadpool_limits

        from ctd_contract.command.suggest import placed, refuse_unknown_keys

        plain = typing.cast(dict[str, Any], OmegaConf.to_container(node))
        refuse_unknown_keys(plain, self, HydraConfig.get().runtime.choices)
        missing = sorted(OmegaConf.missing_keys(node))
        if missing:
            raise UserError(f"{missing[0]} is required; for example: {self.example}")
        chosen = HydraConfig.get().runtime.choices
        try:
            config = self.config(**{f.name: _value(node, f.name) for f in dataclasses.fields(self.config)})
        except ValueError as error:
            if isinstance(error, OmegaConfBaseException):
                raise
            raise UserError(placed(error, node)) from error  # a value that its dataclass refuses
        _check_common(config, fewest_threads=1 if self.claims else 0)
        plain = typing.cast(dict[str, Any], OmegaConf.to_container(node, resolve=True))
        for group in self.groups:
            plain[group] = {"name": chosen[group], **plain[group]}
        run = self._prepare(config, plain)
        if not self.claims:
            self.run(config, run)
            return
        with claim(run, overwrite=config.overwrite) as unfinished:
            if not unfinished:
                self._say(f"already done: {run.result}")
                return
            (run.folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(plain)))
            with threadpool_limits(config.threads):
                self.run(config, run)
            self._say(f"wrote {run.result}")

    def _prepare(self, config: CommandConfig, plain: dict[str, Any]) -> Run:
        digests, shown = {}, {k: v for k, v in plain.items() if k not in OPERATIONAL}
        for name in self.files:
            paths = plain[name]
            digests[name] = _each(paths, _digest)
            shown[name] = _each(paths, lambda path: Path(path).name)
        identity = run_id(
            self.name, installed_version(self.name), {**shown, **dict.fromkeys(self.files)}, digests
        )
        folder = Path(config.out) if config.out else Path("outputs") / self.name / identity
        result = folder / (self.result if isinstance(self.result, str) else self.result(config))
        return Run(folder=folder, result=result, config=shown, id=identity, resume=config.resume)

    def _explain(self, error: BaseException) -> BaseException:
        from ctd_contract.command.suggest import explain

        return explain(error, self)

    def _say(self, sentence: str) -> None:
        print(f"{self.name}: {sentence}", file=sys.stderr)  # noqa: T201


def _check_common(config: CommandConfig, *, fewest_threads: int) -> None:
    for name, least in (("seed", 0), ("threads", fewest_threads)):
        if getattr(config, name) < least:
            raise UserError(f"{name} must be at least {least}, got {getattr(config, name)}")


def _value(node: Any, name: str) -> Any:
    from omegaconf import OmegaConf

    value = node[name]
    return OmegaConf.to_object(value) if OmegaConf.is_config(value) else value


def _each(value: Any, function: Callable[[str], Any]) -> Any:
    if value is None:
        return None
    return [function(v) for v in value] if isinstance(value, list) else function(value)


def _digest(path: str) -> str:
    import ctd_contract

    if not Path(path).is_file():
        raise UserError(f"there is no file {path}")
    if Path(path).suffix == ".safetensors":
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    with ctd_contract.open(path) as file:
        return file.digest
