"""Errors about what a user gives; the command prints them as one sentence."""


class InputError(ValueError):
    """A recording, a setting or a saved model that can't be used, and what to do about it."""
