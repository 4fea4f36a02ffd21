"""The command line: one file per verb. Heavy imports wait until a verb runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from gaussavatar import __version__
from gaussavatar.cli.batch import Batch
from gaussavatar.cli.bench import Bench
from gaussavatar.cli.common import complain, run_verb
from gaussavatar.cli.demo import Demo
from gaussavatar.cli.doctor import Doctor
from gaussavatar.cli.evaluate import Evaluate
from gaussavatar.cli.export import Export
from gaussavatar.cli.fit import Fit
from gaussavatar.cli.head import Head
from gaussavatar.cli.live import Live
from gaussavatar.cli.speak import Speak
from gaussavatar.cli.track import Track
from gaussavatar.cli.view import View
from gaussavatar.cli.words import parsed
from gaussavatar.errors import UserError

VERBS: dict[str, type] = {
    "fit": Fit,
    "speak": Speak,
    "view": View,
    "live": Live,
    "batch": Batch,
    "track": Track,
    "evaluate": Evaluate,
    "export": Export,
    "head": Head,
    "bench": Bench,
    "doctor": Doctor,
    "demo": Demo,
}
"""Every verb and the dataclass that holds its options; ``run()`` does the work."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: the words after ``gaussavatar``; those of the process when None.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--version"], ["-V"]):
        sys.stdout.write(f"gaussavatar {__version__}\n")
        return 0
    verb = parse(words or ["--help"])
    return run_verb(verb.run)


def parse(words: Sequence[str]) -> Any:
    """The verb that the words ask for, with its options; ``run()`` does the work.

    Raises:
        SystemExit: the words ask for help, which is printed (0), or name no verb or option (2).
    """
    return parsed(words, VERBS)


def main() -> None:
    """Entry point of the ``gaussavatar`` command."""
    _open_streams()
    try:
        os.getcwd()
    except FileNotFoundError:
        sys.exit(complain(UserError("a working folder", "one that was deleted", "change to another with cd")))
    # Frames fill the cores here. Threads inside small matrix operations only wait for each other, and idle OpenMP
    # threads must not spin on the cores that the frames need. Both are read when numpy and torch are loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(run())


def _open_streams() -> None:
    """Let nothing that is printed end the program: not a name that the terminal cannot show, nor a closed stream."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        else:
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
