"""The one error that a user's mistake raises, and what the command line does with it."""

from __future__ import annotations

EXIT_USER_ERROR = 2
"""Exit code of every command that ends in a :class:`UserError`."""


class UserError(Exception):
    """A mistake that the user can mend: what was expected, what came, what to do.

    The command line prints it as one line, without a traceback, and exits with
    :data:`EXIT_USER_ERROR`. Library callers may read the three parts.
    """

    def __init__(self, expected: str, came: str, do: str) -> None:
        self.expected = expected
        self.came = came
        self.do = do
        super().__init__(f"expected {expected}, got {came}; {do}")
