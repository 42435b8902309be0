"""Errors about what a user gives; the command prints them as one sentence."""

from ctd_contract.command.errors import UserError


class InputError(UserError):
    """A recording, a setting or a saved model that can't be used, and what to do about it."""


def shortened(value: object) -> str:
    """A value as it stands in a sentence, long ones cut off."""
    text = str(value)
    return text if len(text) < 80 else f"{text[:77]}..."
