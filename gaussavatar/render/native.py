"""The rasterizer on the CPU: the native library behind autograd."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gaussavatar.errors import UserError
from gaussavatar.native import abi
from gaussavatar.native.library import load_library
from gaussavatar.render.semantics import check_scene
from gaussavatar.types import Activated, Cameras, Rendered


class NativeRasterizer:
    """Rasterizes float32 CPU tensors with the native library (see :mod:`gaussavatar.render.semantics`).

    Frames run side by side when there are at least as many as threads, else the
    threads share each frame. Results are the same on every run with the same number
    of threads. Tensors that are expanded along the batch are read in place.
    """

    name = "native"

    def __init__(self) -> None:
        load_library()

    def __call__(self, gaussians: Activated, cameras: Cameras) -> Rendered:
        """Rasterize every frame of the batch.

        Raises:
            UserError: a tensor is not on the CPU.
            ValueError: shapes that do not fit.
        """
        check_scene(gaussians, cameras)
        tensors = [gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.colors]
        tensors = [_frames(tensor) for tensor in (*tensors, cameras.T_camera_world, cameras.K)]
        keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
        rgb, alpha = _Rasterize.apply(keep, cameras.width, cameras.height, *tensors)
        return Rendered(rgb=rgb, alpha=alpha)


def _frames(tensor: Tensor) -> Tensor:
    if tensor.device.type != "cpu":
        raise UserError("tensors on the CPU for the native rasterizer", str(tensor.device), "use the gsplat backend")
    tensor = tensor.to(torch.float32)
    if tensor.shape[0] == 0 or tensor[0].is_contiguous():
        return tensor
    return tensor.contiguous()


def _scene(tensors: tuple[Tensor, ...], width: int, height: int) -> abi.GaScene:
    batch, count = tensors[3].shape
    arrays = [abi.address(tensor) for tensor in tensors]
    strides = [tensor.stride(0) for tensor in tensors]
    return abi.GaScene(*arrays, *strides, batch, count, width, height)


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, keep: bool, width: int, height: int, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        batch = tensors[0].shape[0]
        rgb, alpha = torch.empty(batch, height, width, 3), torch.empty(batch, height, width)
        library = load_library()
        saved = abi.RasterHandle(library) if keep else None
        scene = _scene(tensors, width, height)
        library.ga_raster_forward(scene, rgb, alpha, None if saved is None else saved.pointer)
        if saved is not None:
            ctx.saved_frames = saved
            ctx.size = width, height
            ctx.save_for_backward(*tensors)
        return rgb, alpha

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, v_rgb: Tensor, v_alpha: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        scene = _scene(tensors, *ctx.size)
        gradients = [torch.empty(tensor.shape) for tensor in tensors[:6]]
        to = abi.GaSceneGradients(*(abi.address(gradient) for gradient in gradients))
        saved: abi.RasterHandle = ctx.saved_frames
        load_library().ga_raster_backward(scene, saved.pointer, v_rgb.contiguous(), v_alpha.contiguous(), to)
        return None, None, None, *gradients, None
