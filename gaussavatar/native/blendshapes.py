"""Motion linear in a few weights, and the Gaussians that it activates: one kernel on CUDA, two steps elsewhere."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gaussavatar.native import abi
from gaussavatar.native.activation import (
    ActivatedTensors,
    MotionLayout,
    Raw,
    activate_cpu,
    activate_torch,
    activated_struct,
    empty_activated,
    raw_struct,
)
from gaussavatar.native.library import cuda_library

PARTS = 256
"""Partial sums of a weight's gradient, added up in their order: the same on every run."""

Blended = tuple[ActivatedTensors, Float[Tensor, "b m w"]]
"""The activated Gaussians, and their motion."""


def blendshapes_torch(
    weights: Float[Tensor, "b k"], basis: Float[Tensor, "k mw"], width: int, raw: Raw, layout: MotionLayout
) -> Blended:
    """Motion linear in ``weights``, and the Gaussians that it activates. Any device, any precision.

    ``width`` numbers of the basis belong to each Gaussian that moves.
    """
    motion = _blended(weights, basis, width)
    return activate_torch(raw, motion, layout, len(weights)), motion


def blendshapes_cpu(
    weights: Float[Tensor, "b k"], basis: Float[Tensor, "k mw"], width: int, raw: Raw, layout: MotionLayout
) -> Blended:
    """The same for float32 on the CPU: torch's matrix product, then the native activation."""
    motion = _blended(weights, basis, width)
    return activate_cpu(raw, motion, layout, len(weights)), motion


def blendshapes_cuda(
    weights: Float[Tensor, "b k"], basis: Float[Tensor, "k mw"], width: int, raw: Raw, layout: MotionLayout
) -> Blended:
    """The same for float32 on a CUDA device, without atomics: equal inputs give equal bytes."""
    tensors = (tensor.contiguous() for tensor in (weights, basis, *raw))
    *activated, motion = _Blendshapes.apply(width, layout, *tensors)  # type: ignore[misc]
    return ActivatedTensors(*activated), motion


def _blended(weights: Tensor, basis: Tensor, width: int) -> Tensor:
    return (weights @ basis).unflatten(-1, (basis.shape[1] // width, width))


def _blend_struct(weights: Tensor, basis: Tensor) -> abi.GaBlend:
    return abi.GaBlend(abi.address(weights), abi.address(basis), weights.shape[1])


class _Blendshapes(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, width: int, layout: MotionLayout, weights: Tensor, basis: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        raw, batch, library = Raw(*tensors), len(weights), cuda_library()
        assert library is not None
        out = empty_activated(batch, len(raw.means), basis)
        motion = basis.new_empty(batch, basis.shape[1] // width, width)
        library.ga_cuda_blendshapes(
            raw_struct(raw, motion, layout, batch),
            _blend_struct(weights, basis),
            activated_struct(out),
            motion,
            *abi.queue(basis),
        )
        ctx.layout = layout
        ctx.save_for_backward(weights, basis, motion, *tensors, *out)
        return *out, motion

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weights, basis, motion, *rest = ctx.saved_tensors
        raw, values, (batch, shapes) = Raw(*rest[:5]), rest[5:], weights.shape
        incoming = [gradient.contiguous() for gradient in gradients]
        raw_gradients = [torch.empty_like(tensor) for tensor in raw]
        basis_gradient, weights_gradient = torch.empty_like(basis), torch.empty_like(weights)
        library = cuda_library()
        assert library is not None
        library.ga_cuda_blendshapes_backward(
            raw_struct(raw, motion, ctx.layout, batch),
            _blend_struct(weights, basis),
            activated_struct(values),
            activated_struct(incoming[:5]),
            incoming[5],
            activated_struct(raw_gradients),
            torch.empty_like(motion),
            *(basis_gradient, weights_gradient, basis.new_empty(batch, shapes, PARTS)),
            *abi.queue(basis),
        )
        return None, None, weights_gradient, basis_gradient, *raw_gradients
