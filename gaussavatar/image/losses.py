"""Image losses with gradients: native where there is a native form, plain torch elsewhere."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gaussavatar.native.operations import OPERATIONS


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
    return OPERATIONS["photometric"](pred, target, weight, dssim_weight)


def ssim(pred: Float[Tensor, "b h w 3"], target: Float[Tensor, "b h w 3"]) -> Float[Tensor, "b h w 3"]:
    """Structural similarity per pixel and channel (Wang et al. 2004), zero padding; a measure, without gradients.

    Raises:
        ValueError: shapes that do not fit.
    """
    if pred.dim() != 4 or pred.shape[-1] != 3 or target.shape != pred.shape:
        raise ValueError(f"pred {tuple(pred.shape)}, target {tuple(target.shape)}")
    return OPERATIONS["ssim"](pred.detach(), target.detach())
