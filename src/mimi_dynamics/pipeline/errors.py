"""The only exception that is shown to the user as a single line."""


class InputError(Exception):
    """Bad input. The message says in one line what is wrong, its value and what is allowed."""
