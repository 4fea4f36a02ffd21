"""Masks grown by a square, for tensors of any device."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def widened(mask: Float[Tensor, "b h w"], reach: int) -> Float[Tensor, "b h w"]:
    """The largest value within ``reach`` pixels along both axes.

    One axis after the other: a square of 27 pixels then costs a fourteenth of what looking at all of it does.
    """
    rows = F.max_pool2d(mask[:, None], (1, 2 * reach + 1), stride=1, padding=(0, reach))
    return F.max_pool2d(rows, (2 * reach + 1, 1), stride=1, padding=(reach, 0))[:, 0]
