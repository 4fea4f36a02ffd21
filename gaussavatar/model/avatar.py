"""The two-branch avatar: codes and cameras in, composited images out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gaussavatar.model.aside import Aside
from gaussavatar.model.binding import Anchors, Binding, BoundStart, HeadRig
from gaussavatar.model.config import BranchConfig, ModelConfig
from gaussavatar.model.deform.blendshapes import Blendshapes
from gaussavatar.model.deform.design import DeformationRequest, make_deformation
from gaussavatar.model.gaussians import Gaussians, InitialBranch, activate, activate_blended, motion_width
from gaussavatar.model.harmonics import view_colors
from gaussavatar.model.shading import Shading
from gaussavatar.render.api import Rasterizer
from gaussavatar.render.composite import composite
from gaussavatar.types import Activated, Cameras, Rendered


class Branch(nn.Module):
    """Gaussians and the deformation that moves the first of them."""

    def __init__(
        self,
        config: BranchConfig,
        n_codes: int,
        n_upper: int,
        start: InitialBranch,
        sh_degree: int = 0,
        anchors: Anchors | None = None,
        shading: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        self.gaussians = Gaussians(start.raw, start.n_moving, sh_degree)
        self.binding = None if anchors is None else Binding(anchors)
        self.shading = Shading(len(self.gaussians)) if shading else None
        self.aside: Aside | None = None
        """Laid after training, for views that were not filmed."""
        width = motion_width(config.moves)
        self.motion = make_deformation(DeformationRequest(config, n_codes, n_upper, width, start))

    def deltas(self, codes: Float[Tensor, "b c"]) -> Float[Tensor, "b m w"]:
        """Motion of the moving Gaussians in units of ``MOTION_SCALE``."""
        return self.motion(codes, self.gaussians.means[: self.gaussians.n_moving].detach())

    def forward(self, codes: Float[Tensor, "b c"], still: bool = False) -> tuple[Activated, Tensor | None]:
        """Activated Gaussians and their motion; ``still`` leaves the motion out.

        Neither the head that carries bound Gaussians nor the direction of view is in it: see
        :meth:`AvatarModel.activate`.
        """
        moves = self.config.moves
        if isinstance(self.motion, Blendshapes) and not still:
            weights, basis, watch = self.motion.product(codes)
            activated, motion = activate_blended(self.gaussians, weights, basis, moves)
            watch(motion)
            return activated, motion
        deltas = None if still else self.deltas(codes)
        return activate(self.gaussians, deltas, moves, codes.shape[0]), deltas

    def seen(
        self,
        gaussians: Activated,
        vertices: Float[Tensor, "b v 3"] | None,
        T_camera_world: Float[Tensor, "#b 4 4"] | None,
        T_light_world: Float[Tensor, "#b 4 4"] | None = None,
    ) -> Activated:
        """The Gaussians carried by the head's ``vertices``, lit, and coloured for a camera (None: from the front)."""
        if self.binding is not None and vertices is not None:
            gaussians = self.binding(gaussians, vertices)
        light = T_camera_world if T_light_world is None else T_light_world
        if self.shading is not None and light is not None:
            gaussians = replace(gaussians, colors=gaussians.colors + self.shading(light[:, :3, :3]))
        if self.aside is not None and T_camera_world is not None:
            gaussians = replace(gaussians, colors=gaussians.colors + self.aside(T_camera_world[:, :3, :3]))
        if self.gaussians.sh is None:
            return gaussians
        camera = frontal_camera().to(gaussians.means) if T_camera_world is None else T_camera_world
        return replace(gaussians, colors=gaussians.colors + view_colors(gaussians.means, self.gaussians.sh, camera))


FRONT = 0.7
"""Distance in metres of the camera that stands for the view from the front."""


def frontal_camera() -> Float[Tensor, "1 4 4"]:
    """World-to-camera transform of a camera before the face."""
    T = torch.eye(4)
    T[2, 3] = FRONT
    return T[None]


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
        self,
        config: ModelConfig,
        n_mouth: int,
        n_upper: int,
        face: InitialBranch,
        mouth: InitialBranch,
        bound: BoundStart | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.n_mouth, self.n_upper = n_mouth, n_upper
        anchors = (None, None) if bound is None else (bound.face, bound.mouth)
        self.face = Branch(config.face, n_mouth + n_upper, n_upper, face, config.sh_degree, anchors[0], config.shading)
        self.mouth = Branch(config.mouth, n_mouth, 0, mouth, config.sh_degree, anchors[1], config.shading)
        self.rig = None if bound is None else HeadRig(bound.names, bound.rig)

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Channels of ``expression``, in order; () where the avatar is not bound to a head."""
        return () if self.rig is None else self.rig.names

    def activate(
        self,
        mouth_codes: Float[Tensor, "b m"],
        upper: Float[Tensor, "b u"],
        still: bool = False,
        expression: Float[Tensor, "b n"] | None = None,
        T_camera_world: Float[Tensor, "#b 4 4"] | None = None,
        T_light_world: Float[Tensor, "#b 4 4"] | None = None,
    ) -> tuple[Activated, Activated, tuple[Tensor | None, Tensor | None]]:
        """Face, mouth and their learnt motion, ready to be rasterized.

        Args:
            mouth_codes: what audio or landmarks say of the mouth.
            upper: upper-face channels.
            still: without any motion that the codes bring.
            expression: named movements of the head model (:attr:`expression_names`) on top, 1 being full.
            T_camera_world: the views whose colours are meant; None is the view from the front.
            T_light_world: pose of the head against the light, as the clip's camera would see it; None is that of the
                camera, which is right while the camera stands where it stood.

        Raises:
            ValueError: ``expression`` for an avatar that is not bound to a head.
        """
        codes = torch.cat([mouth_codes, upper], dim=-1)
        vertices = None
        if self.rig is not None:
            if not still or expression is not None:
                vertices = self.rig.vertices(self.rig.state(codes * (0.0 if still else 1.0), expression))
            if expression is not None:
                codes = codes + expression @ self.rig.echo
        elif expression is not None:
            raise ValueError("expression for an avatar that is not bound to a head")
        face, face_motion = self.face(codes, still)
        mouth, mouth_motion = self.mouth(codes[:, : self.n_mouth], still)
        face = self.face.seen(face, vertices, T_camera_world, T_light_world)
        mouth = self.mouth.seen(mouth, vertices, T_camera_world, T_light_world)
        return face, mouth, (face_motion, mouth_motion)

    def render(
        self,
        rasterizer: Rasterizer,
        mouth_codes: Float[Tensor, "b m"],
        upper: Float[Tensor, "b u"],
        cameras: Cameras,
        under: Float[Tensor, "b h w 3"],
        still: bool = False,
        expression: Float[Tensor, "b n"] | None = None,
        T_light_world: Float[Tensor, "#b 4 4"] | None = None,
    ) -> AvatarImage:
        """Render and composite: face + (1 - face alpha) (mouth + (1 - mouth alpha) under).

        Raises:
            ValueError: see :meth:`activate`.
        """
        face_gaussians, mouth_gaussians, motion = self.activate(
            mouth_codes, upper, still, expression, cameras.T_camera_world, T_light_world
        )
        face, mouth = rasterizer(face_gaussians, cameras), rasterizer(mouth_gaussians, cameras)
        image = composite(face, mouth, under)
        return AvatarImage(image, face, mouth, motion, (face_gaussians, mouth_gaussians))
