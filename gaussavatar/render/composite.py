"""Layers put over each other: the face over the inside of the mouth over what is behind the head."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gaussavatar.native.library import check_status, load_library
from gaussavatar.types import Rendered


def composite(face: Rendered, mouth: Rendered, under: Float[Tensor, "b h w 3"]) -> Float[Tensor, "b h w 3"]:
    """Porter-Duff "over" of premultiplied layers: face over mouth over the opaque ``under``, values 0..1.

    Native for float32 on the CPU, plain torch elsewhere; gradients flow to all layers.

    Raises:
        ValueError: shapes that do not fit.
    """
    tensors = (face.rgb, face.alpha, mouth.rgb, mouth.alpha, under)
    image, mask = face.rgb.shape, face.rgb.shape[:-1]
    if [tensor.shape for tensor in tensors] != [image, mask, image, mask, image]:
        raise ValueError(f"layers of shapes {[tuple(tensor.shape) for tensor in tensors]}")
    if all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors):
        return _Composite.apply(*(tensor.contiguous() for tensor in tensors))
    return composite_torch(face, mouth, under)


def composite_torch(face: Rendered, mouth: Rendered, under: Float[Tensor, "b h w 3"]) -> Float[Tensor, "b h w 3"]:
    """The twin of :func:`composite` in plain torch."""
    behind_face = mouth.rgb + (1 - mouth.alpha)[..., None] * under
    return face.rgb + (1 - face.alpha)[..., None] * behind_face


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *layers: Tensor) -> Tensor:
        image = torch.empty_like(layers[0])
        function = load_library().ga_composite_forward
        function.argtypes = [*[ctypes.c_void_p] * 5, ctypes.c_int64, ctypes.c_void_p]
        status = function(*(layer.data_ptr() for layer in layers), layers[1].numel(), image.data_ptr())
        check_status(status, "compositing")
        ctx.save_for_backward(*layers[1:])
        return image

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, v_image: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        v_image = v_image.contiguous()
        gradients = [torch.empty_like(layer) for layer in saved[:3]]
        v_under = torch.empty_like(saved[3]) if ctx.needs_input_grad[4] else None
        function = load_library().ga_composite_backward
        function.argtypes = [*[ctypes.c_void_p] * 5, ctypes.c_int64, *[ctypes.c_void_p] * 4]
        status = function(
            v_image.data_ptr(),
            *(layer.data_ptr() for layer in saved),
            saved[0].numel(),
            *(gradient.data_ptr() for gradient in gradients),
            None if v_under is None else v_under.data_ptr(),
        )
        check_status(status, "compositing")
        return v_image, *gradients, v_under
