"""Rotations in torch, with gradients: matrices, rotation vectors (radians) and unit quaternions (wxyz)."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def rotation_matrices(axis_angle: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Rotation matrices of rotation vectors by Rodrigues' formula; smooth at zero."""
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    square = (axis_angle**2).sum(-1)
    # Near zero the closed forms lose their gradient, so the series takes over; the inner
    # where keeps the unused branch free of a division by zero.
    small = square < 1e-8
    angle = torch.where(small, torch.ones_like(square), square).sqrt()
    sine = torch.where(small, 1 - square / 6, torch.sin(angle) / angle)
    cosine = torch.where(small, 0.5 - square / 24, (1 - torch.cos(angle)) / angle**2)
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + sine[..., None, None] * cross + cosine[..., None, None] * (cross @ cross)


def rotation_quaternions(R: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 4"]:
    """Unit quaternions (wxyz) of rotation matrices, of either sign.

    Of the four ways to each the one that divides by most (Shepperd 1978, Journal of Guidance and Control 1, 223).
    """
    # All four as one product: a picture of an avatar waits for every small operation of these.
    sums, ones = _shepperd(R.dtype, R.device)
    ways = R.flatten(-2) @ sums + ones
    best = ways[..., ::5].argmax(dim=-1)[..., None, None]
    chosen = ways.unflatten(-1, (4, 4)).take_along_dim(best, dim=-2).squeeze(-2)
    return chosen / chosen.norm(dim=-1, keepdim=True)


@cache
def _shepperd(dtype: torch.dtype, device: torch.device) -> tuple[Float[Tensor, "9 16"], Float[Tensor, "16"]]:
    """Shepperd's four ways, one after the other, as sums of a matrix's numbers and a one."""
    a, b, c, d, e, f, g, h, i = np.eye(9)
    ways = [
        *(a + e + i, h - f, c - g, d - b),
        *(h - f, a - e - i, b + d, c + g),
        *(c - g, b + d, e - a - i, f + h),
        *(d - b, c + g, f + h, i - a - e),
    ]
    with torch.inference_mode(False):  # gradients need them later, whoever asks for them first
        sums = torch.tensor(np.stack(ways, 1), dtype=dtype, device=device)
        return sums, torch.eye(4, dtype=dtype, device=device).flatten()


def rotation_vectors(R: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3"]:
    """Rotation vectors of rotation matrices, of at most half a turn; smooth at zero."""
    quats = rotation_quaternions(R)
    w, axis = torch.where(quats[..., :1] < 0, -quats, quats).split([1, 3], dim=-1)
    square = (axis**2).sum(-1, keepdim=True)
    small = square < 1e-8
    sine = torch.where(small, 1.0, square).sqrt()
    # 2 asin(s) / s near zero, where the quotient has no gradient.
    return axis * torch.where(small, 2 + square / 3, 2 * torch.atan2(sine, w) / sine)
