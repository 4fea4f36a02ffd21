"""A picture of what training has reached: real frames over rendered ones."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gaussavatar.training.config import LossConfig
from gaussavatar.training.data import Clip, load_batch, reference_frames
from gaussavatar.training.step import Run

NAME, TORSO_NAME = "preview.png", "preview_torso.png"
"""Files in ``train/``: of the head's stages and of the torso's."""


def preview_frames(clip: Clip) -> list[int]:
    """Four training frames: the most frontal, the two widest turns, and the widest open mouth."""
    candidates = np.flatnonzero(clip.usable[: clip.n_train])
    return [*reference_frames(clip), int(candidates[np.argmax(clip.motion.aperture[candidates])])]


def preview_picture(run: Run, still: bool) -> UInt8[np.ndarray, "h w 3"]:
    """Real frames in the upper row, rendered from the landmarks' codes in the lower."""
    batch = load_batch(run.clip, np.array(preview_frames(run.clip)), LossConfig(), run.device)
    with torch.no_grad():
        image = run.model.render(
            run.rasterizer, batch.mouth_codes, batch.upper, batch.cameras, batch.under, still
        ).image.clamp(0, 1)
    return stacked(batch.frames, image)


def stacked(upper: Float[Tensor, "b h w 3"], lower: Float[Tensor, "b h w 3"]) -> UInt8[np.ndarray, "2*h b*w 3"]:
    """Two rows of pictures, values in 0..1, as one."""
    rows = [torch.cat(list(images), dim=1) for images in (upper, lower)]
    return (torch.cat(rows) * 255).round().to(torch.uint8).cpu().numpy()
