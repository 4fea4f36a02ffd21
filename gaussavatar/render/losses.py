"""Image losses with gradients: native on the CPU, plain torch elsewhere."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gaussavatar.render.losses_oracle import photometric_loss_torch, ssim_torch


def photometric_loss(
    pred: Float[Tensor, "b h w 3"],
    target: Float[Tensor, "b h w 3"],
    weight: Float[Tensor, "b h w"],
    dssim_weight: float,
) -> Float[Tensor, ""]:
    """Weighted mean of ``|pred - target| + dssim_weight * (1 - SSIM)`` over pixels, channels averaged.

    The weights are those of the pixels of both terms and are normalised by their sum over
    the batch; a batch of zero weights has the loss 0. SSIM: Gaussian window 11, sigma 1.5,
    zero padding (Wang et al. 2004). Values are in 0..1. Gradients flow to ``pred`` only.
    """
    return photometric_loss_torch(pred, target, weight, dssim_weight)


def ssim(pred: Float[Tensor, "b h w 3"], target: Float[Tensor, "b h w 3"]) -> Float[Tensor, "b h w 3"]:
    """Structural similarity per pixel and channel (Wang et al. 2004), zero padding; no gradients promised."""
    return ssim_torch(pred, target)
