"""How one value goes over into another."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

Share = TypeVar("Share", float, np.ndarray, Tensor)


def smoothstep(share: Share) -> Share:
    """The cubic from 0 to 1 whose ends are level, for a share within 0..1 (the smooth step of computer graphics)."""
    return share * share * (3 - 2 * share)
