"""The one exception that is shown to the user as a single line."""


class InputError(Exception):
    """Bad input: the message names the thing, its value and what is allowed, in one line."""
