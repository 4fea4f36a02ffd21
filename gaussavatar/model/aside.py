"""Colours of Gaussians for views that lie aside of all that was filmed.

A film's colours bleed over the head's edge, for it has half as many of them as pixels, and a matte is never quite
right: Gaussians at the edge learn colours that nothing of the head has, and that are right as long as they are seen
at the edge. From the side they come into full view, and there they have other colours.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gaussavatar.easing import smoothstep
from gaussavatar.model.per_gaussian import PerGaussian

WIDTH = 0.2
"""Radians beyond the filmed views within which the colours go over."""


class Aside(nn.Module):
    """What is added to every Gaussian's colour as the camera leaves the directions from which the head was filmed."""

    def __init__(self, count: int) -> None:
        """For ``count`` Gaussians; no change at first, about a camera straight ahead."""
        super().__init__()
        self.register_buffer("change", torch.zeros(count, 3))
        self.register_buffer("ahead", torch.tensor([0.0, 0.0, 1.0]))
        self.register_buffer("reach", torch.zeros(()))

    def per_gaussian(self) -> dict[str, PerGaussian]:
        """The colours; the directions belong to the clip."""
        return {"change": PerGaussian()}

    def calibrate(self, R_camera_head: Float[Tensor, "n 3 3"]) -> None:
        """Take the mean direction of view, in head space, and how far from it the clip's cameras stood."""
        looks = R_camera_head.float()[:, 2]
        ahead = nn.functional.normalize(looks.mean(dim=0), dim=0)
        self.ahead.copy_(ahead)
        self.reach.copy_(angle_between(looks, ahead).max())

    def share(self, R_camera_head: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b"]:
        """0 for views as filmed, 1 from :data:`WIDTH` beyond them on, smooth between."""
        beyond = (angle_between(R_camera_head[:, 2], self.ahead) - self.reach) / WIDTH
        return smoothstep(beyond.clamp(0, 1))

    def forward(self, R_camera_head: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b n 3"]:
        """Change of every Gaussian's colour."""
        return self.share(R_camera_head)[:, None, None] * self.change


def angle_between(directions: Float[Tensor, "b 3"], other: Float[Tensor, "3"]) -> Float[Tensor, "b"]:
    """Angle in radians, exact where it is small, too."""
    across = torch.linalg.cross(directions, other.expand_as(directions)).norm(dim=-1)
    return torch.atan2(across, directions @ other)
