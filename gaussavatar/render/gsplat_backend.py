"""The rasterizer on CUDA: gsplat's kernels, called with this project's semantics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gaussavatar.errors import UserError
from gaussavatar.render.binning import TileGrid, tile_intersections
from gaussavatar.render.semantics import BLUR, FAR, NEAR, check_scene
from gaussavatar.types import Activated, Cameras, Rendered

WARP = 32
"""Threads that gsplat 1.5.3 adds gradients up over by camera and by Gaussian alone: where two of a batch's entries
share a warp, one gets the other's gradient of the pose. Whole warps of Gaussians keep them apart."""

NOTHING = 1e-6
"""What Gaussians that fill up a warp consist of; their opacity is 0, so that no tile lists them."""

SPARE = 1.5
"""Slots for intersections, by the most that were counted so far."""

LEAST_SLOTS = 4096


class GsplatRasterizer:
    """Rasterizes CUDA tensors with gsplat 1.5 (Ye et al. 2024), one camera per batch entry.

    Raises:
        UserError: there is no CUDA device, or gsplat or its kernels are not there.
    """

    name = "gsplat"

    def __init__(self) -> None:
        # Asked first: without a GPU, gsplat tries to compile its kernels and fails with an obscure message.
        if not torch.cuda.is_available():
            raise UserError("a CUDA device for gsplat", "none", "use --device cpu, or install a CUDA build of torch")
        self._gsplat = _gsplat()
        self._most: dict[tuple[int, int], int] = {}

    def __call__(self, gaussians: Activated, cameras: Cameras) -> Rendered:
        """Rasterize every frame of the batch; CUDA tensors, float32.

        Raises:
            UserError: a tensor is not on a CUDA device.
            ValueError: shapes that do not fit.
        """
        scene = _scene(gaussians, cameras)
        if scene is None:
            return _nothing(gaussians, cameras)
        projected = _project(self._gsplat, scene, cameras)
        grid = TileGrid(cameras.width, cameras.height)
        rows, columns = grid.shape
        _, keys, ids = self._gsplat.isect_tiles(
            projected.means, projected.radii, projected.depths, grid.side, columns, rows
        )
        start = self._gsplat.isect_offset_encode(keys, len(projected.depths), columns, rows)
        size = tuple(projected.depths.shape)
        self._most[size] = max(self._most.get(size, 0), len(ids))  # type: ignore[index]
        return _blend(self._gsplat, projected, cameras, grid, start, ids)

    def unasking(self) -> UnaskingGsplat:
        """The same without a question to the GPU, with slots for what this one has met so far."""
        return UnaskingGsplat(self._gsplat, self._most)


class UnaskingGsplat:
    """gsplat with a fixed number of slots for the intersections of Gaussians and tiles.

    Nothing in it waits for the GPU, so that a CUDA graph can hold it. Where the slots do not suffice, some Gaussians
    are missing in some tiles, and :meth:`overflown` tells.
    """

    name = "gsplat"

    def __init__(self, gsplat: Any, most: dict[tuple[int, int], int]) -> None:
        """``most``: intersections met so far, by frames and Gaussians; :meth:`overflown` adds what it finds."""
        self._gsplat, self._most = gsplat, most
        self._slots = {size: max(LEAST_SLOTS, int(SPARE * met)) for size, met in most.items()}
        self._needed = {size: torch.zeros((), dtype=torch.long, device="cuda") for size in most}

    def __call__(self, gaussians: Activated, cameras: Cameras) -> Rendered:
        """As :class:`GsplatRasterizer` does.

        Raises:
            KeyError: a batch of a size that was never met before.
            UserError, ValueError: see there.
        """
        scene = _scene(gaussians, cameras)
        if scene is None:
            return _nothing(gaussians, cameras)
        projected = _project(self._gsplat, scene, cameras)
        grid, size = TileGrid(cameras.width, cameras.height), tuple(projected.depths.shape)
        found = tile_intersections(
            projected.means.detach(),
            projected.radii,
            projected.depths.detach(),
            grid,
            self._slots[size],  # type: ignore[index]
        )
        needed = self._needed[size]  # type: ignore[index]
        needed.copy_(torch.maximum(needed, found.needed))
        return _blend(self._gsplat, projected, cameras, grid, found.start, found.gaussian)

    def overflown(self) -> bool:
        """Whether there were ever too few slots; waits for the GPU."""
        found = False
        for size, slots in self._slots.items():
            needed = int(self._needed[size])
            self._most[size] = max(self._most[size], needed)
            found |= needed > slots
        return found


@dataclass(frozen=True)
class _Projected:
    """Gaussians in the picture, and what blending needs of them besides."""

    radii: Tensor
    means: Tensor
    depths: Tensor
    conics: Tensor
    colors: Tensor
    opacities: Tensor = field(repr=False)


def _gsplat() -> Any:
    """The package, with its kernels loaded or compiled.

    Raises:
        UserError: one of them is not there.
    """
    try:
        import gsplat
        from gsplat.cuda._backend import _C
    except ImportError as error:
        raise UserError(
            "gsplat for rendering on the GPU", f"no such module ({error})", "pip install 'gaussavatar[gpu]'"
        ) from error
    if _C is None:
        raise UserError(
            "gsplat's kernels", "neither a prebuilt library nor nvcc to compile them", "install the CUDA toolkit"
        )
    return gsplat


def _scene(gaussians: Activated, cameras: Cameras) -> Activated | None:
    """The Gaussians as the kernels take them, in whole warps where batch entries have to be kept apart."""
    batch, count = check_scene(gaussians, cameras)
    if gaussians.means.device.type != "cuda":
        raise UserError("CUDA tensors for gsplat", str(gaussians.means.device), "use the native rasterizer")
    if batch == 0 or count == 0:
        return None
    missing = -count % WARP if batch > 1 and (cameras.T_camera_world.requires_grad or count < WARP) else 0
    return filled_up(gaussians, missing)


def filled_up(gaussians: Activated, missing: int) -> Activated:
    """The Gaussians as float32, and so many more that show nothing."""

    def whole(tensor: Tensor, value: float) -> Tensor:
        tensor = tensor.float()
        if missing:
            tensor = F.pad(tensor, (*(0, 0) * (tensor.dim() - 2), 0, missing), value=value)
        return tensor.contiguous()

    return Activated(
        means=whole(gaussians.means, NOTHING),
        quats=whole(gaussians.quats, NOTHING),
        scales=whole(gaussians.scales, NOTHING),
        opacities=whole(gaussians.opacities, 0.0),
        colors=whole(gaussians.colors, 0.0),
    )


def _nothing(gaussians: Activated, cameras: Cameras) -> Rendered:
    rgb = gaussians.means.new_zeros((len(gaussians.means), cameras.height, cameras.width, 3))
    return Rendered(rgb=rgb, alpha=rgb[..., 0])


def _project(gsplat: Any, scene: Activated, cameras: Cameras) -> _Projected:
    # Batch dimension b, one camera each: means [b, n, 3], viewmats [b, 1, 4, 4]; what comes out is [b, 1, n, ...].
    radii, means, depths, conics, _ = gsplat.fully_fused_projection(
        scene.means,
        None,
        scene.quats,
        scene.scales,
        cameras.T_camera_world.float()[:, None].contiguous(),
        cameras.K.float()[:, None].contiguous(),
        cameras.width,
        cameras.height,
        eps2d=BLUR,
        near_plane=NEAR,
        far_plane=FAR,
        radius_clip=0.0,
        packed=False,
        opacities=scene.opacities,
    )
    found = (tensor[:, 0] for tensor in (radii, means, depths, conics))
    return _Projected(*found, scene.colors, scene.opacities)


def _blend(
    gsplat: Any, projected: _Projected, cameras: Cameras, grid: TileGrid, start: Tensor, ids: Tensor
) -> Rendered:
    rgb, alpha = gsplat.rasterize_to_pixels(
        projected.means,
        projected.conics,
        projected.colors,
        projected.opacities,
        cameras.width,
        cameras.height,
        grid.side,
        start,
        ids,
    )
    return Rendered(rgb=rgb, alpha=alpha[..., 0])
