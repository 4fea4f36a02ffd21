"""The losses besides the photometric one, each a function to a scalar; weights are in the recipe."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gaussavatar.model.avatar import AvatarImage, AvatarModel
from gaussavatar.native.operations import OPERATIONS
from gaussavatar.training.data import Batch

LARGE = 5e-3
"""Standard deviation in metres from which on a Gaussian of a head counts as too large."""


def coverage(rendered: AvatarImage, batch: Batch) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Face alpha against head mask without the inside of the mouth, and what of that the mouth branch leaves bare.

    Means over the image. The first keeps background out of the face branch, and the face branch out of the open mouth;
    without a mouth branch, the face has to fill the mouth as well.
    """
    has_mouth = rendered.gaussians[1].means.shape[1] > 0
    inside = batch.inside if has_mouth else torch.zeros_like(batch.inside)
    return OPERATIONS["coverage"](rendered.face.alpha, rendered.mouth.alpha, batch.head, inside)


def motion_size(rendered: AvatarImage) -> Float[Tensor, ""]:
    """Mean absolute motion of both branches, in motion units."""
    parts = [motion.abs().mean() for motion in rendered.motion if motion is not None and motion.numel()]
    return torch.stack(parts).sum() if parts else torch.zeros(())


def velocity(rendered: AvatarImage, batch: Batch) -> Float[Tensor, ""]:
    """Change of the picture between the frames of each pair against the real change, mean absolute, region weights on.

    Frames 0 and 1 of the batch are a pair, 2 and 3 the next. What is wrong in both frames alike does not count: the
    loss sees flicker and motion only.
    """
    count = 2 * (len(batch.frames) // 2)
    error = rendered.image[:count] - batch.frames[:count]
    return (batch.weight[1:count:2, ..., None] * (error[1::2] - error[0::2]).abs()).mean()


def code_error(predicted: Float[Tensor, "b m"], target: Float[Tensor, "b m"]) -> Float[Tensor, ""]:
    """Mean squared error of mouth codes."""
    return (predicted - target).square().mean()


def color_range(model: AvatarModel) -> Float[Tensor, ""]:
    """Mean distance of the canonical colours from 0..1, both branches."""
    colors = torch.cat([model.face.gaussians.colors, model.mouth.gaussians.colors])
    return (colors - colors.clamp(0, 1)).abs().mean()


def large_scales(model: AvatarModel) -> Float[Tensor, ""]:
    """Mean excess of the canonical standard deviations over :data:`LARGE`, in millimetres."""
    scales = torch.cat([model.face.gaussians.log_scales, model.mouth.gaussians.log_scales]).exp()
    return (scales - LARGE).clamp_min(0).mean() * 1e3
