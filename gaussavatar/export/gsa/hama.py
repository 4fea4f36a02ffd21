"""The phone recogniser ``hama`` as sections of a ``.gsa`` file, which docs/gsa.md tells of."""

from __future__ import annotations

from typing import Any

import numpy as np

from gaussavatar.audio.features import hama
from gaussavatar.audio.features.hama_pack import BLOCKS, HEADS
from gaussavatar.resources import resource

NOTICE = "hama.notice"
"""The section with whose network it is and under which terms."""


def hama_sections() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """``meta.hama`` and the sections ``hama.*``.

    Raises:
        UserError: the package is not installed in the version that avatars are trained with, or is damaged.
    """
    sections, _ = hama.network_parts()
    classes, blank = hama.token_classes()
    sections["hama.classes"] = classes
    sections[NOTICE] = np.frombuffer((resource("assets") / "licenses" / "hama.txt").read_bytes(), np.uint8)
    known = hama.build().statistics(np.zeros((0, classes.shape[1]), np.float32))
    return {
        "blocks": BLOCKS,
        "heads": HEADS,
        "blank": blank,
        "temperature": hama.TEMPERATURE,
        "floor": hama.FLOOR,
        "piece": hama.PIECE,
        "context": hama.CONTEXT,
        "mean": [round(float(value), 6) for value in known.mean],
        "std": [round(float(value), 6) for value in known.std],
        "made": f"hama {hama.PACKAGE_VERSION} by Seongmin Park, Apache License 2.0 (its repository: MIT); see {NOTICE}",
    }, sections
