"""Words of a command line to a verb with its options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tyro

DESCRIPTION = "Person-specific Gaussian-splatting head avatars that speak any audio."


def parsed(words: Sequence[str], verbs: Mapping[str, type]) -> Any:
    """The verb that the words ask for, with its options; ``run()`` does the work.

    Args:
        words: those after ``gaussavatar``.
        verbs: which there are, and the dataclass that holds the options of each.

    Raises:
        SystemExit: the words ask for help, which is printed (0), or name no verb or option (2).
    """
    return tyro.extras.subcommand_cli_from_dict(
        dict(verbs),
        prog="gaussavatar",
        description=DESCRIPTION,
        args=words,
        sort_subcommands=False,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.HelptextFromCommentsOff),
    )
