"""Image losses with gradients: native for float32 on the CPU, plain torch elsewhere."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gaussavatar.image.losses_oracle import photometric_loss_torch, ssim_torch
from gaussavatar.native.library import check_status, load_library


def photometric_loss(
    pred: Float[Tensor, "b h w 3"],
    target: Float[Tensor, "b h w 3"],
    weight: Float[Tensor, "b h w"],
    dssim_weight: float,
) -> Float[Tensor, ""]:
    """Weighted mean of ``|pred - target| + dssim_weight * (1 - SSIM)`` over pixels, channels averaged.

    ``weight`` weighs the pixels of both terms and is normalised by its sum over the batch; a
    batch of zero weights has the loss 0. SSIM: Gaussian window 11, sigma 1.5, zero padding
    (Wang et al. 2004). Values are in 0..1. Gradients flow to ``pred`` only.

    Raises:
        ValueError: shapes that do not fit.
    """
    if pred.dim() != 4 or pred.shape[-1] != 3 or target.shape != pred.shape or weight.shape != pred.shape[:3]:
        raise ValueError(f"pred {tuple(pred.shape)}, target {tuple(target.shape)}, weight {tuple(weight.shape)}")
    if _is_native(pred, target, weight):
        return _Photometric.apply(
            torch.is_grad_enabled() and pred.requires_grad,
            pred.contiguous(),
            target.contiguous(),
            weight.contiguous(),
            float(dssim_weight),
        )
    return photometric_loss_torch(pred, target, weight, dssim_weight)


def ssim(pred: Float[Tensor, "b h w 3"], target: Float[Tensor, "b h w 3"]) -> Float[Tensor, "b h w 3"]:
    """Structural similarity per pixel and channel (Wang et al. 2004), zero padding; a measure, without gradients.

    Raises:
        ValueError: shapes that do not fit.
    """
    if pred.dim() != 4 or pred.shape[-1] != 3 or target.shape != pred.shape:
        raise ValueError(f"pred {tuple(pred.shape)}, target {tuple(target.shape)}")
    pred, target = pred.detach(), target.detach()
    if not _is_native(pred, target):
        return ssim_torch(pred, target)
    pred, target = pred.contiguous(), target.contiguous()
    similarity = torch.empty_like(pred)
    if similarity.numel():
        function = load_library().ga_ssim
        function.argtypes = [*[ctypes.c_void_p] * 2, *[ctypes.c_int32] * 3, ctypes.c_void_p]
        batch, height, width, _ = pred.shape
        status = function(pred.data_ptr(), target.data_ptr(), batch, height, width, similarity.data_ptr())
        check_status(status, "SSIM")
    return similarity


def _is_native(*tensors: Tensor) -> bool:
    return all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)


class _Photometric(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, need_gradient: bool, pred: Tensor, target: Tensor, weight: Tensor, dssim_weight: float
    ) -> Tensor:
        # Everything happens in the native library: a torch reduction here would wake torch's own threads, which then
        # spin for a while on the cores that the native ones need.
        gradient = torch.empty_like(pred) if need_gradient else None
        loss = ctypes.c_double(0.0)
        function = load_library().ga_photometric
        function.argtypes = [*[ctypes.c_void_p] * 3, *[ctypes.c_int32] * 3, ctypes.c_double, *[ctypes.c_void_p] * 2]
        batch, height, width, _ = pred.shape
        status = function(
            pred.data_ptr(),
            target.data_ptr(),
            weight.data_ptr(),
            batch,
            height,
            width,
            dssim_weight,
            ctypes.addressof(loss),
            None if gradient is None else gradient.data_ptr(),
        )
        check_status(status, "photometric loss")
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return torch.tensor(loss.value, dtype=torch.float32)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, v_loss: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        scale = v_loss.item()
        return None, gradient if scale == 1.0 else gradient * scale, None, None, None
