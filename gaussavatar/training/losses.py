"""The losses besides the photometric one, each a function to a scalar; weights are in the recipe."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gaussavatar.model.avatar import AvatarImage
from gaussavatar.training.data import Batch


def head_alpha(rendered: AvatarImage, batch: Batch) -> Float[Tensor, ""]:
    """Face alpha against head mask without the inside of the mouth, mean absolute difference.

    It keeps background out of the face branch, and the face branch out of the open mouth.
    """
    return (rendered.face.alpha - batch.head * (1 - batch.inside)).abs().mean()


def mouth_alpha(rendered: AvatarImage, batch: Batch) -> Float[Tensor, ""]:
    """What the mouth branch leaves uncovered inside the mouth, as a share of the image."""
    return ((1 - rendered.mouth.alpha) * batch.inside).mean()


def motion_size(rendered: AvatarImage) -> Float[Tensor, ""]:
    """Mean absolute motion of both branches, in motion units."""
    parts = [motion.abs().mean() for motion in rendered.motion if motion is not None]
    return torch.stack(parts).sum() if parts else torch.zeros(())


def code_error(predicted: Float[Tensor, "b m"], target: Float[Tensor, "b m"]) -> Float[Tensor, ""]:
    """Mean squared error of mouth codes."""
    return (predicted - target).square().mean()
