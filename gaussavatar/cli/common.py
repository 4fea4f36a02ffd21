"""What every verb shares: its outcome as an exit code, and where the output went."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gaussavatar.errors import EXIT_USER_ERROR, UserError, lacks_memory, no_memory
from gaussavatar.interrupts import EXIT_SIGNALLED, Interrupted, answer_interrupt, interruption, interrupts_remembered
from gaussavatar.media.given import require_file

EXIT_BROKEN_PIPE = 141
"""Exit code when the reader of stdout has gone, as a shell gives it to a program that SIGPIPE ended."""


def run_verb(work: Callable[[], int | None]) -> int:
    """Run a verb's work and turn what the user can mend into one line on stderr.

    Errors that are not the user's keep their traceback.
    """
    try:
        with interrupts_remembered():
            code = work() or 0
            answer_interrupt()
            return code
    except UserError as error:
        return complain(error)
    except ModuleNotFoundError as error:
        from gaussavatar.packages import missing_package

        mistake = missing_package(error)
        if mistake is None:
            raise
        return complain(mistake)
    except ImportError as error:
        from gaussavatar.packages import unloadable_package

        mistake = unloadable_package(error)
        if mistake is None:
            raise
        return complain(mistake)
    except BrokenPipeError:
        # The reader of a pipe such as `gaussavatar doctor | head -1` has gone; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except KeyboardInterrupt as interrupt:
        return say_interrupted(interrupt)
    except Exception as error:
        mistake = explained(error)
        if mistake is None:
            raise
        return complain(mistake)


def say_interrupted(interrupt: KeyboardInterrupt) -> int:
    """Say that the user, or the system, has ended the program, and return the exit code for it."""
    number = interrupt.number if isinstance(interrupt, Interrupted) else int(signal.SIGINT)
    # The terminal may be gone.
    with suppress(OSError):
        sys.stderr.write(f"\n{interruption(number)}; nothing is lost, the same command continues from here\n")
        sys.stderr.flush()
    return EXIT_SIGNALLED + number


def explained(error: BaseException) -> UserError | None:
    """What a library's error means where it is nobody's fault but the machine's: no memory, no disk."""
    if lacks_memory(error):
        return no_memory()
    if isinstance(error, OSError):
        from gaussavatar.storage import explain_os_error

        mistake = explain_os_error(error, Path(error.filename or "the output"))
        return mistake if isinstance(mistake, UserError) else None
    return None


def complain(error: UserError) -> int:
    """Print a user's mistake as one line and return the exit code for it."""
    sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
    return EXIT_USER_ERROR


def require_files(option: str, paths: Sequence[Path]) -> None:
    """Refuse what is no file, at once: it takes no import of anything that reads it.

    Raises:
        UserError: one of them is not there, or no file.
    """
    for path in paths:
        require_file(path, f"a file for {option}")


def say(text: str) -> None:
    """Print one line of a verb's result to stdout, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def shown(path: Path) -> str:
    """A path as the user would type it: relative where it lies below the working directory."""
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(path)


def print_metrics(metrics: Mapping[str, Any]) -> None:
    """Print the figures of ``metrics.json`` as a table, one column per way of driving."""
    from rich.console import Console

    from gaussavatar.evaluate.tables import metrics_table

    Console(highlight=False).print(metrics_table(metrics))


def print_quality(capture: Path) -> None:
    """Print the quality gate's verdict on a capture, its figures and what to do."""
    from rich.console import Console

    from gaussavatar.quality.records import load_quality
    from gaussavatar.quality.tables import finding_lines, quality_table

    quality = load_quality(capture)
    Console(highlight=False).print(quality_table(quality))
    for line in finding_lines(quality):
        say(line)
