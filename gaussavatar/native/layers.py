"""Layers over each other, with gradients: native on the CPU and on CUDA, and the twin in plain torch."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gaussavatar.native import abi
from gaussavatar.native.library import cuda_library, load_library


def composite_torch(
    face: Float[Tensor, "b h w 3"],
    face_alpha: Float[Tensor, "b h w"],
    mouth: Float[Tensor, "b h w 3"],
    mouth_alpha: Float[Tensor, "b h w"],
    under: Float[Tensor, "b h w 3"],
) -> Float[Tensor, "b h w 3"]:
    """Porter-Duff "over" of premultiplied layers. Any device, any precision."""
    behind_face = mouth + (1 - mouth_alpha)[..., None] * under
    return face + (1 - face_alpha)[..., None] * behind_face


def composite_cpu(*layers: Tensor) -> Float[Tensor, "b h w 3"]:
    """The same for float32 on the CPU."""
    return _Composite.apply(*(layer.contiguous() for layer in layers))  # type: ignore[return-value]


def composite_cuda(*layers: Tensor) -> Float[Tensor, "b h w 3"]:
    """The same for float32 on a CUDA device: one kernel either way."""
    return _CompositeCuda.apply(*(layer.contiguous() for layer in layers))  # type: ignore[return-value]


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *layers: Tensor) -> Tensor:
        image = torch.empty_like(layers[0])
        load_library().ga_composite_forward(*layers, layers[1].numel(), image)
        ctx.save_for_backward(*layers[1:])
        return image

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, v_image: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        v_image = v_image.contiguous()
        gradients = [torch.empty_like(layer) for layer in saved[:3]]
        v_under = torch.empty_like(saved[3]) if ctx.needs_input_grad[4] else None
        load_library().ga_composite_backward(v_image, *saved, saved[0].numel(), *gradients, v_under)
        return v_image, *gradients, v_under


class _CompositeCuda(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *layers: Tensor) -> Tensor:
        image, library = torch.empty_like(layers[0]), cuda_library()
        assert library is not None
        library.ga_cuda_composite(*layers, layers[1].numel(), image, *abi.queue(image))
        ctx.save_for_backward(*layers[1:])
        return image

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, v_image: Tensor) -> tuple[Tensor | None, ...]:
        saved, library = ctx.saved_tensors, cuda_library()
        assert library is not None
        v_image = v_image.contiguous()
        gradients = [torch.empty_like(layer) for layer in saved[:3]]
        v_under = torch.empty_like(saved[3]) if ctx.needs_input_grad[4] else None
        library.ga_cuda_composite_backward(v_image, *saved, saved[0].numel(), *gradients, v_under, *abi.queue(v_image))
        return v_image, *gradients, v_under
