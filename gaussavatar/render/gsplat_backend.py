"""The rasterizer on CUDA: gsplat's kernels, called with this project's semantics."""

from __future__ import annotations

import torch

from gaussavatar.errors import UserError
from gaussavatar.render.semantics import BLUR, FAR, NEAR, check_scene
from gaussavatar.types import Activated, Cameras, Rendered


class GsplatRasterizer:
    """Rasterizes CUDA tensors with gsplat 1.5 (Ye et al. 2024), one camera per batch entry.

    Raises:
        UserError: there is no CUDA device, or gsplat is not installed.
    """

    name = "gsplat"

    def __init__(self) -> None:
        # Asked first: without a GPU, gsplat tries to compile its kernels and fails with an obscure message.
        if not torch.cuda.is_available():
            raise UserError("a CUDA device for gsplat", "none", "use --device cpu, or install a CUDA build of torch")
        try:
            from gsplat import rasterization
        except ImportError as error:
            raise UserError(
                "gsplat for rendering on the GPU", f"no such module ({error})", "pip install 'gaussavatar[gpu]'"
            ) from error
        self._rasterization = rasterization

    def __call__(self, gaussians: Activated, cameras: Cameras) -> Rendered:
        """Rasterize every frame of the batch; CUDA tensors, float32.

        Raises:
            UserError: a tensor is not on a CUDA device.
            ValueError: shapes that do not fit.
        """
        batch, count = check_scene(gaussians, cameras)
        if gaussians.means.device.type != "cuda":
            raise UserError("CUDA tensors for gsplat", str(gaussians.means.device), "use the native rasterizer")
        if batch == 0 or count == 0:
            rgb = gaussians.means.new_zeros((batch, cameras.height, cameras.width, 3))
            return Rendered(rgb=rgb, alpha=rgb[..., 0])
        # Batch dimension b, one camera each: means [b, n, 3], viewmats [b, 1, 4, 4], images [b, 1, h, w, c].
        rgb, alpha, _ = self._rasterization(
            gaussians.means.float().contiguous(),
            gaussians.quats.float().contiguous(),
            gaussians.scales.float().contiguous(),
            gaussians.opacities.float().contiguous(),
            gaussians.colors.float().contiguous(),
            cameras.T_camera_world.float()[:, None].contiguous(),
            cameras.K.float()[:, None].contiguous(),
            cameras.width,
            cameras.height,
            near_plane=NEAR,
            far_plane=FAR,
            radius_clip=0.0,
            eps2d=BLUR,
            packed=False,
            rasterize_mode="classic",
        )
        return Rendered(rgb=rgb[:, 0], alpha=alpha[:, 0, ..., 0])
