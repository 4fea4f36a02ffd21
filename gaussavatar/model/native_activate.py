"""Activation of raw Gaussians and their motion by the native library; the torch twin is in ``gaussians``."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from gaussavatar.native.library import load_library

FIELDS = ("means", "quats", "scales", "opacities", "colors")
WIDTHS = (3, 4, 3, 1, 3)


class _Raw(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("means", "quats", "log_scales", "logits", "colors", "motion")),
        *((name, ctypes.c_int32) for name in ("batch", "count", "moving", "width")),
        ("offset", ctypes.c_int32 * 5),
        ("unit", ctypes.c_float * 5),
    ]


class _Activated(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in FIELDS]


def _pointers(tensors: list[Tensor]) -> _Activated:
    return _Activated(*(tensor.data_ptr() for tensor in tensors))


def _raw(tensors: tuple[Tensor, ...], motion: Tensor | None, batch: int, layout: tuple[tuple, tuple]) -> _Raw:
    moving, width = (0, 0) if motion is None else motion.shape[1:]
    pointers = [tensor.data_ptr() for tensor in tensors]
    offsets, units = layout
    return _Raw(
        *pointers,
        None if motion is None else motion.data_ptr(),
        batch,
        tensors[0].shape[0],
        moving,
        width,
        (ctypes.c_int32 * 5)(*offsets),
        (ctypes.c_float * 5)(*units),
    )


class NativeActivate(torch.autograd.Function):
    """(batch, layout, motion (b, m, w) or None, means, quats, log_scales, logits, colors) to activated tensors.

    ``layout`` holds, for position, rotation, scale, color and opacity, the offset in the
    motion's last axis (-1: does not move) and the motion's unit. Float32 on the CPU.
    """

    @staticmethod
    def forward(
        ctx: Any, batch: int, layout: tuple[tuple, tuple], motion: Tensor | None, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        """Activated means, quats, scales, opacities and colors, each with the batch dimension."""
        count = tensors[0].shape[0]
        out = [torch.empty(batch, count, width) if width > 1 else torch.empty(batch, count) for width in WIDTHS]
        motion = None if motion is None else motion.contiguous()
        raw = _raw(tensors, motion, batch, layout)
        load_library().ga_activate(ctypes.byref(raw), ctypes.byref(_pointers(out)))
        ctx.batch, ctx.layout, ctx.has_motion = batch, layout, motion is not None
        ctx.save_for_backward(*out, *tensors, *([motion] if motion is not None else []))
        return tuple(out)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the raw tensors (summed over the batch) and of the motion."""
        saved = ctx.saved_tensors
        values, tensors = list(saved[:5]), saved[5:10]
        motion = saved[10] if ctx.has_motion else None
        incoming = [gradient.contiguous() for gradient in gradients]
        raw_gradients = [torch.empty_like(tensor) for tensor in tensors]
        by_field = [raw_gradients[index] for index in range(5)]
        motion_gradient = None if motion is None else torch.empty_like(motion)
        raw = _raw(tensors, motion, ctx.batch, ctx.layout)
        load_library().ga_activate_backward(
            ctypes.byref(raw),
            ctypes.byref(_pointers(values)),
            ctypes.byref(_pointers(incoming)),
            ctypes.byref(_pointers(by_field)),
            ctypes.c_void_p(None if motion_gradient is None else motion_gradient.data_ptr()),
        )
        return None, None, motion_gradient, *raw_gradients
