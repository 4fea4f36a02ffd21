"""The command line: one level, one verb each. Heavy imports wait until a verb runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import tyro

from gaussavatar import __version__
from gaussavatar.cli.common import run_verb
from gaussavatar.cli.inspect import Bench, Doctor, Head
from gaussavatar.cli.make import Demo, Fit, Track
from gaussavatar.cli.use import Evaluate, Export, Speak, View

VERBS: dict[str, type] = {
    "fit": Fit,
    "speak": Speak,
    "view": View,
    "track": Track,
    "evaluate": Evaluate,
    "export": Export,
    "head": Head,
    "bench": Bench,
    "doctor": Doctor,
    "demo": Demo,
}
"""Every verb and the dataclass that holds its options; ``run()`` does the work."""

DESCRIPTION = "Person-specific Gaussian-splatting head avatars that speak any audio."


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: the words after ``gaussavatar``; those of the process when None.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--version"], ["-V"]):
        sys.stdout.write(f"gaussavatar {__version__}\n")
        return 0
    verb = tyro.extras.subcommand_cli_from_dict(
        VERBS,
        prog="gaussavatar",
        description=DESCRIPTION,
        args=words or ["--help"],
        sort_subcommands=False,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.HelptextFromCommentsOff),
    )
    return run_verb(verb.run)


def main() -> None:
    """Entry point of the ``gaussavatar`` command."""
    # Frames fill the cores here. Threads inside small matrix operations only wait for each other, and idle OpenMP
    # threads must not spin on the cores that the frames need. Both are read when numpy and torch are loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(run())


if __name__ == "__main__":
    main()
