"""The command ctd-models-jax: the models have commands of their own, and ``model=`` says which one runs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ctd_contract.command import Command, UserError
from ctd_contract.command.errors import report_error
from ctd_contract.command.sessions import expand_pattern, unquoted
from ctd_contract.command.suggest import nearest
from ctd_models_jax.saved import name_model, read_notes

NAME = "ctd-models-jax"
# Where the command of each model is defined (as COMMAND); loaded once it is chosen.
MODELS = {
    "gru": "ctd_models_jax.autoencoder.command",
    "lds": "ctd_models_jax.autoencoder.command",
    "jslds": "ctd_models_jax.jslds.command",
    "lfads_jslds": "ctd_models_jax.lfads_jslds.command",
    "mrsds": "ctd_models_jax.mrsds.command",
}
DEFAULT = "gru"


class ModelsCommand:
    """One command with the settings of whichever model the arguments name."""

    def main(self, arguments: Sequence[str] | None = None) -> NoReturn:
        """Run as a script does and leave with the exit code."""
        sys.exit(self.invoke(sys.argv[1:] if arguments is None else arguments))

    def invoke(self, arguments: Sequence[str]) -> int:
        """Run with these arguments; return the exit code: 0, 2 for bad input, 1 for a failed run."""
        try:
            arguments = [name_model(expand_pattern(argument)) for argument in arguments]
            command = chosen(arguments)
        except UserError as error:
            return report_error(error, command=NAME, debug=False)
        return command.invoke(arguments)


def chosen(arguments: Sequence[str]) -> Command:
    """The command of the model that the arguments name; of several in a sweep, the one that they share.

    With ``predict=`` and no ``model=`` it is that of the fitted model.

    Raises:
        UserError: There is no such model, or a sweep goes over models with different settings.
    """
    named = [argument.split("=", 1)[1] for argument in arguments if argument.startswith("model=")]
    fitted = [argument.split("=", 1)[1] for argument in arguments if argument.startswith("predict=")]
    if fitted and not named:
        named = [read_notes(Path(unquoted(fitted[-1])))["model"]]
    models = named[-1].split(",") if named else [DEFAULT]
    for name in models:
        if name not in MODELS:
            raise UserError(f"there is no model {name!r}{nearest(name, MODELS)}")
    homes = {MODELS[name] for name in models}
    if len(homes) > 1:
        raise UserError(f"model={named[-1]}: these models have different settings: run one sweep for each")
    return importlib.import_module(homes.pop()).COMMAND


COMMAND = ModelsCommand()


def main() -> None:
    """Entry point of the command."""
    COMMAND.main()
