"""The rasterizer on the CPU: the native library behind autograd."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from gaussavatar.errors import UserError
from gaussavatar.native.library import check_status, load_library
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


class _Scene(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("means", "quats", "scales", "opacities", "colors", "T", "K")),
        *((f"{name}_stride", ctypes.c_int64) for name in ("means", "quats", "scales", "opacities", "colors", "T", "K")),
        *((name, ctypes.c_int32) for name in ("batch", "count", "width", "height")),
    ]


class _Gradients(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("means", "quats", "scales", "opacities", "colors", "T")]


class _SavedFrames:
    """Owns what the library keeps between forward and backward."""

    def __init__(self) -> None:
        self.handle = ctypes.c_void_p()
        self._free = load_library().ga_raster_free
        self._free.argtypes, self._free.restype = [ctypes.c_void_p], None

    def __del__(self) -> None:
        if self.handle:
            self._free(self.handle)


def _scene(tensors: tuple[Tensor, ...], width: int, height: int) -> _Scene:
    batch, count = tensors[3].shape
    pointers = [tensor.data_ptr() for tensor in tensors]
    strides = [tensor.stride(0) for tensor in tensors]
    return _Scene(*pointers, *strides, batch, count, width, height)


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, keep: bool, width: int, height: int, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        batch = tensors[0].shape[0]
        rgb, alpha = torch.empty(batch, height, width, 3), torch.empty(batch, height, width)
        saved = _SavedFrames() if keep else None
        scene = _scene(tensors, width, height)
        status = load_library().ga_raster_forward(
            ctypes.byref(scene),
            _pointer(rgb),
            _pointer(alpha),
            ctypes.byref(saved.handle) if saved is not None else None,
        )
        check_status(status, "rasterization")
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
        pointers = _Gradients(*(gradient.data_ptr() for gradient in gradients))
        v_rgb, v_alpha = v_rgb.contiguous(), v_alpha.contiguous()
        status = load_library().ga_raster_backward(
            ctypes.byref(scene), ctx.saved_frames.handle, _pointer(v_rgb), _pointer(v_alpha), ctypes.byref(pointers)
        )
        check_status(status, "rasterization backward")
        return None, None, None, *gradients, None
