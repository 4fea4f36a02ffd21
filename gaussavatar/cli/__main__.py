"""``python -m gaussavatar.cli`` is the ``gaussavatar`` command; its entry point is here as well.

A Ctrl-C before a verb runs, while the words are read, is answered in a line too.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the ``gaussavatar`` command."""
    try:
        from gaussavatar.cli.main import main as begin

        begin()
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted before anything was done\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
