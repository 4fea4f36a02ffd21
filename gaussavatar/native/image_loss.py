"""L1 + SSIM of images with gradients: native on the CPU and on CUDA, and the twin in plain torch."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gaussavatar.native import abi
from gaussavatar.native.library import cuda_library, load_library

SSIM_WINDOW = 11
"""Taps of the Gaussian window (Wang et al. 2004)."""
SSIM_SIGMA = 1.5
"""Standard deviation of the window in pixels."""
SSIM_C1 = 0.01**2
"""Stabiliser of the luminance term for values in 0..1."""
SSIM_C2 = 0.03**2
"""Stabiliser of the contrast term for values in 0..1."""
LOSS_ROWS = 4
"""Rows of an image that one thread on a CUDA device adds up."""


def gaussian_window(dtype: torch.dtype = torch.float32) -> Float[Tensor, "11"]:
    """The normalised one-dimensional window."""
    offsets = torch.arange(SSIM_WINDOW, dtype=torch.float64) - SSIM_WINDOW // 2
    window = torch.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    return (window / window.sum()).to(dtype)


@lru_cache(maxsize=16)
def _window_on(dtype: torch.dtype, device: torch.device) -> Float[Tensor, "11"]:
    """The window on a device, brought there once: a copy from the host makes the host wait for the device."""
    with torch.inference_mode(False):  # gradients need it later, whoever asks for it first
        return gaussian_window(dtype).to(device)


def ssim_torch(pred: Float[Tensor, "b h w 3"], target: Float[Tensor, "b h w 3"]) -> Float[Tensor, "b h w 3"]:
    """Structural similarity per pixel and channel (Wang et al. 2004, eq. 13), zero padding."""
    window = _window_on(pred.dtype, pred.device)

    def blur(image: Tensor) -> Tensor:
        channels = image.shape[1]
        across = functional.conv2d(
            image, window.view(1, 1, 1, -1).expand(channels, 1, 1, -1), padding=(0, SSIM_WINDOW // 2), groups=channels
        )
        return functional.conv2d(
            across, window.view(1, 1, -1, 1).expand(channels, 1, -1, 1), padding=(SSIM_WINDOW // 2, 0), groups=channels
        )

    x, y = pred.permute(0, 3, 1, 2), target.permute(0, 3, 1, 2)
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = blur(torch.cat([x, y, x * x, y * y, x * y], 1)).chunk(5, 1)
    var_x, var_y, cov = mean_xx - mean_x**2, mean_yy - mean_y**2, mean_xy - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
    structure = (2 * cov + SSIM_C2) / (var_x + var_y + SSIM_C2)
    return (luminance * structure).permute(0, 2, 3, 1)


def photometric_loss_torch(
    pred: Float[Tensor, "b h w 3"],
    target: Float[Tensor, "b h w 3"],
    weight: Float[Tensor, "b h w"],
    dssim_weight: float,
) -> Float[Tensor, ""]:
    """Weighted L1 plus ``dssim_weight`` times weighted 1 - SSIM (see ``gaussavatar.image.losses``)."""
    target, weight = target.detach(), weight.detach()
    error = (pred - target).abs().mean(-1)
    if dssim_weight:
        error = error + dssim_weight * (1 - ssim_torch(pred, target)).mean(-1)
    total = weight.sum()
    return (weight * error).sum() / torch.where(total > 0, total, torch.ones_like(total))


def ssim_cpu(pred: Float[Tensor, "b h w 3"], target: Float[Tensor, "b h w 3"]) -> Float[Tensor, "b h w 3"]:
    """Structural similarity of float32 images on the CPU; without gradients."""
    pred, target = pred.contiguous(), target.contiguous()
    similarity = torch.empty_like(pred)
    load_library().ga_ssim(pred, target, *pred.shape[:3], similarity)
    return similarity


def photometric_loss_cpu(
    pred: Float[Tensor, "b h w 3"],
    target: Float[Tensor, "b h w 3"],
    weight: Float[Tensor, "b h w"],
    dssim_weight: float,
) -> Float[Tensor, ""]:
    """The loss of float32 images on the CPU, with its gradient in the same pass."""
    need_gradient = torch.is_grad_enabled() and pred.requires_grad
    return _Photometric.apply(  # type: ignore[return-value]
        need_gradient, pred.contiguous(), target.contiguous(), weight.contiguous(), float(dssim_weight)
    )


def ssim_cuda(pred: Float[Tensor, "b h w 3"], target: Float[Tensor, "b h w 3"]) -> Float[Tensor, "b h w 3"]:
    """Structural similarity of float32 images on a CUDA device; without gradients."""
    pred, target, library = pred.contiguous(), target.contiguous(), cuda_library()
    assert library is not None
    similarity = torch.empty_like(pred)
    library.ga_cuda_ssim(pred, target, *pred.shape[:3], _scratch_of_means(pred), similarity, *abi.queue(pred))
    return similarity


def photometric_loss_cuda(
    pred: Float[Tensor, "b h w 3"],
    target: Float[Tensor, "b h w 3"],
    weight: Float[Tensor, "b h w"],
    dssim_weight: float,
) -> Float[Tensor, ""]:
    """The loss of float32 images on a CUDA device; the host never waits, and equal inputs give equal bytes."""
    need_gradient = torch.is_grad_enabled() and pred.requires_grad
    return _PhotometricCuda.apply(  # type: ignore[return-value]
        need_gradient, pred.contiguous(), target.contiguous(), weight.contiguous(), float(dssim_weight)
    )


def _scratch_of_means(image: Tensor) -> Tensor:
    return image.new_empty(*image.shape, 4)


class _Photometric(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, need_gradient: bool, pred: Tensor, target: Tensor, weight: Tensor, dssim_weight: float
    ) -> Tensor:
        # Everything happens in the native library: a torch reduction here would wake torch's own threads, which then
        # spin for a while on the cores that the native ones need.
        gradient = torch.empty_like(pred) if need_gradient else None
        loss = abi.out_double(
            load_library().ga_photometric, pred, target, weight, *pred.shape[:3], dssim_weight, last=(gradient,)
        )
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return torch.tensor(loss, dtype=torch.float32)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, v_loss: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        scale = v_loss.item()
        return None, gradient if scale == 1.0 else gradient * scale, None, None, None


class _PhotometricCuda(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, need_gradient: bool, pred: Tensor, target: Tensor, weight: Tensor, dssim_weight: float
    ) -> Tensor:
        library, (batch, height, width, channels) = cuda_library(), pred.shape
        assert library is not None
        similar = dssim_weight != 0
        means = _scratch_of_means(pred) if similar else None
        derivatives = pred.new_empty(3, *pred.shape) if similar and need_gradient else None
        partials = pred.new_empty(2, batch * math.ceil(height / LOSS_ROWS) * width * channels)
        library.ga_cuda_photometric(
            *(pred, target, weight, batch, height, width, dssim_weight),
            *(means, derivatives, partials, *abi.queue(pred)),
        )
        sums, loss = partials.sum(1), pred.new_empty(())
        library.ga_cuda_photometric_loss(sums, loss, *abi.queue(pred))
        if need_gradient:
            ctx.save_for_backward(pred, target, weight, derivatives, sums)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, v_loss: Tensor) -> tuple[Tensor | None, ...]:
        pred, target, weight, derivatives, sums = ctx.saved_tensors
        library = cuda_library()
        assert library is not None
        gradient = torch.empty_like(pred)
        scratch = None if derivatives is None else torch.empty_like(derivatives)
        library.ga_cuda_photometric_backward(
            *(pred, target, weight, *pred.shape[:3]),
            *(derivatives, sums, v_loss.contiguous(), scratch, gradient, *abi.queue(pred)),
        )
        return None, gradient, None, None, None
