"""The two-branch avatar: codes and cameras in, composited images out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gaussavatar.model.config import BranchConfig, ModelConfig
from gaussavatar.model.deform import DeformationRequest, make_deformation
from gaussavatar.model.gaussians import Gaussians, activate, motion_width
from gaussavatar.model.initialise import InitialBranch
from gaussavatar.render.api import Rasterizer
from gaussavatar.render.composite import composite
from gaussavatar.types import Activated, Cameras, Rendered


class Branch(nn.Module):
    """Gaussians and the deformation that moves the first of them."""

    def __init__(self, config: BranchConfig, n_codes: int, n_upper: int, start: InitialBranch) -> None:
        super().__init__()
        self.config = config
        self.gaussians = Gaussians(start.raw, start.n_moving)
        width = motion_width(config.moves)
        self.motion = make_deformation(DeformationRequest(config, n_codes, n_upper, width, start))

    def deltas(self, codes: Float[Tensor, "b c"]) -> Float[Tensor, "b m w"]:
        """Motion of the moving Gaussians in units of ``MOTION_SCALE``."""
        return self.motion(codes, self.gaussians.means[: self.gaussians.n_moving].detach())

    def forward(self, codes: Float[Tensor, "b c"], still: bool = False) -> tuple[Activated, Tensor | None]:
        """Activated Gaussians and their motion; ``still`` leaves the motion out."""
        deltas = None if still else self.deltas(codes)
        return activate(self.gaussians, deltas, self.config.moves, codes.shape[0]), deltas


@dataclass(frozen=True)
class AvatarImage:
    """What one rendering gives; images in 0..1."""

    image: Float[Tensor, "b h w 3"]
    face: Rendered
    mouth: Rendered
    motion: tuple[Tensor | None, Tensor | None]
    gaussians: tuple[Activated, Activated]
    """What was rasterized, face and mouth: densification reads the gradients of their means."""


class AvatarModel(nn.Module):
    """Face over mouth over whatever lies under the head."""

    def __init__(
        self, config: ModelConfig, n_mouth: int, n_upper: int, face: InitialBranch, mouth: InitialBranch
    ) -> None:
        super().__init__()
        self.config = config
        self.n_mouth, self.n_upper = n_mouth, n_upper
        self.face = Branch(config.face, n_mouth + n_upper, n_upper, face)
        self.mouth = Branch(config.mouth, n_mouth, 0, mouth)

    def render(
        self,
        rasterizer: Rasterizer,
        mouth_codes: Float[Tensor, "b m"],
        upper: Float[Tensor, "b u"],
        cameras: Cameras,
        under: Float[Tensor, "b h w 3"],
        still: bool = False,
    ) -> AvatarImage:
        """Render and composite: face + (1 - face alpha) (mouth + (1 - mouth alpha) under)."""
        face_gaussians, face_motion = self.face(torch.cat([mouth_codes, upper], dim=-1), still)
        mouth_gaussians, mouth_motion = self.mouth(mouth_codes, still)
        face, mouth = rasterizer(face_gaussians, cameras), rasterizer(mouth_gaussians, cameras)
        image = composite(face, mouth, under)
        return AvatarImage(image, face, mouth, (face_motion, mouth_motion), (face_gaussians, mouth_gaussians))
