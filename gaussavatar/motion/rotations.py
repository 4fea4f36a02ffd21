"""Rotations in torch, with gradients: matrices, rotation vectors (radians) and unit quaternions (wxyz)."""

from __future__ import annotations

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
    a, b, c, d, e, f, g, h, i = R.flatten(-2).unbind(-1)
    ways = torch.stack(
        [
            *(1 + a + e + i, h - f, c - g, d - b),
            *(h - f, 1 + a - e - i, b + d, c + g),
            *(c - g, b + d, 1 - a + e - i, f + h),
            *(d - b, c + g, f + h, 1 - a - e + i),
        ],
        dim=-1,
    ).unflatten(-1, (4, 4))
    best = ways.diagonal(dim1=-2, dim2=-1).argmax(dim=-1)[..., None, None]
    chosen = ways.take_along_dim(best, dim=-2).squeeze(-2)
    return chosen / chosen.norm(dim=-1, keepdim=True)


def rotation_vectors(R: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3"]:
    """Rotation vectors of rotation matrices, of at most half a turn; smooth at zero."""
    w, axis = rotation_quaternions(R).split([1, 3], dim=-1)
    w, axis = torch.where(w < 0, -w, w), torch.where(w < 0, -axis, axis)
    square = (axis**2).sum(-1, keepdim=True)
    small = square < 1e-8
    sine = torch.where(small, torch.ones_like(square), square).sqrt()
    # 2 asin(s) / s near zero, where the quotient has no gradient.
    return axis * torch.where(small, 2 + square / 3, 2 * torch.atan2(sine, w) / sine)
