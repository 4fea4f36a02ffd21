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
        self.expected, self.came, self.do = map(_on_one_line, (expected, came, do))
        super().__init__(f"expected {self.expected}, got {self.came}; {self.do}")


_LONGEST = 1000


def _on_one_line(text: str) -> str:
    """A part as a terminal can show it: what a file says of itself may hold line ends, escapes, or a novel."""
    start = str(text)[: _LONGEST + 1]
    shown = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in start)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}..."


_NO_MEMORY = ("can't allocate memory", "cannot allocate memory", "insufficient memory", "failed to map segment",
              "bad_alloc", "can't start new thread", "unable to allocate")  # fmt: skip
"""How libraries call it, in small letters, that there is no memory left."""


def lacks_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it followed upon, says that there is no memory left."""
    while error is not None:
        if isinstance(error, MemoryError) or any(text in str(error).lower() for text in _NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def no_memory() -> UserError:
    """What is told of that."""
    do = "close other programs, or ask for smaller pictures; the same command continues from here"
    return UserError("enough memory", "none that is left", do)
