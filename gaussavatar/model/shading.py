"""How a head's colours change as it turns under light that stays where it is.

A diffuse surface under distant light is lit by a low-order polynomial of its normal (Ramamoorthi and Hanrahan 2001,
eq. 12 and 13), and a small turn of the head moves the normals linearly; so every Gaussian's colour is linear in the
head's rotation. Unlike spherical harmonics of the view, it stays as it is when only the camera goes round.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gaussavatar.model.per_gaussian import PerGaussian
from gaussavatar.motion.rotations import rotation_vectors

UNIT = 0.15
"""Colour per learnt unit, as for colours that the codes move."""

FARTHEST = 2.5
"""Standard deviations of the clip's rotation beyond which shading no longer changes: nothing was seen there."""

LEAST_SPREAD = 0.01
"""Least standard deviation of a rotation, radians: a head that never turns teaches no shading."""


class Shading(nn.Module):
    """Colour per Gaussian and axis of the head's rotation away from the clip's mean."""

    def __init__(self, count: int) -> None:
        """For ``count`` Gaussians; no change at first, about a head at rest as the camera sees it."""
        super().__init__()
        self.slopes = nn.Parameter(torch.zeros(count, 9))
        # On the meta device, where only shapes are asked for, torch.eye imports torch.compile and sympy: seconds.
        self.register_buffer("R_camera_rest", torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]))
        self.register_buffer("spread", torch.full((3,), 0.1))

    def per_gaussian(self) -> dict[str, PerGaussian]:
        """The slopes; the rotations belong to the clip."""
        return {"slopes": PerGaussian()}

    def calibrate(self, R_camera_head: Float[Tensor, "n 3 3"]) -> None:
        """Take rest and spread from the training frames' rotations."""
        U, _, Vh = torch.linalg.svd(R_camera_head.double().mean(0))
        rest = (U @ torch.diag(torch.tensor([1.0, 1.0, float(torch.det(U @ Vh))], dtype=torch.float64)) @ Vh).float()
        turns = rotation_vectors(R_camera_head.float() @ rest.T)
        self.R_camera_rest.copy_(rest)
        self.spread.copy_(turns.std(dim=0, unbiased=False).clamp_min(LEAST_SPREAD))

    def turn(self, R_camera_head: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b 3"]:
        """Rotation away from rest about the camera's axes, in standard deviations of the clip, at most FARTHEST."""
        turn = rotation_vectors(R_camera_head @ self.R_camera_rest.T) / self.spread
        return turn * (FARTHEST / turn.norm(dim=-1, keepdim=True).clamp_min(FARTHEST))

    def forward(self, R_camera_head: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b n 3"]:
        """Change of every Gaussian's colour."""
        turn = UNIT * self.turn(R_camera_head)
        # Each axis of the rotation beside each colour: one product of the slopes as they lie, without a copy of them.
        spread = torch.diag_embed(turn.T[..., None].expand(3, -1, 3), dim1=1, dim2=3).reshape(9, -1)
        return (self.slopes @ spread).unflatten(1, (len(turn), 3)).transpose(0, 1)
