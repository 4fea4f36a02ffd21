"""Perceptual figures of the held-out frames, where the user gives a network's weights."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8

from gaussavatar.image.perceptual import PerceptualLoss
from gaussavatar.storage import Pictures


def perceptual_figures(
    net: PerceptualLoss,
    rendered: Pictures,
    real: Pictures,
    masks: Pictures,
    boxes: Float[np.ndarray, "k 3 4"],
) -> dict[str, float]:
    """Mean distance over the frames: full composite, the head (the real frame around it), the box around the lips.

    The names begin with ``lpips`` where the network has the linear heads of LPIPS, else with ``perceptual``.
    """
    rows = []
    with torch.no_grad():
        for image, truth, mask, box in zip(rendered, real, masks, boxes, strict=True):
            head = mask[..., 0] > 127
            pairs = [(image, truth)]
            if head.any():
                own = np.where(head[..., None], image, truth)
                y, x = (np.flatnonzero(head.any(axis=axis)) for axis in (1, 0))
                part = (slice(y[0], y[-1] + 1), slice(x[0], x[-1] + 1))
                pairs.append((own[part], truth[part]))
                x0, y0, x1, y1 = box[0].astype(int)
                part = (slice(y0, max(y1, y0 + 1)), slice(x0, max(x1, x0 + 1)))
                pairs.append((image[part], truth[part]))
            values = [float(net(_tensor(a), _tensor(b))[0]) for a, b in pairs]
            rows.append(values + [np.nan] * (3 - len(values)))
    prefix = "lpips" if net.has_heads else "perceptual"
    means = np.nanmean(np.array(rows), axis=0).tolist()
    return dict(zip((f"{prefix}_full", f"{prefix}_head", f"{prefix}_mouth"), means, strict=True))


def _tensor(image: UInt8[np.ndarray, "h w 3"]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image))[None].float() / 255
