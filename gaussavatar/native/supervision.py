"""What pictures of a head are compared with: native on the CPU, and the twins in plain torch."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gaussavatar.native.library import load_library

Images = tuple[Float[Tensor, "b h w 3"], Float[Tensor, "b h w 3"]]
"""Frames, and what is under their heads."""


def other_background_torch(
    frames: Float[Tensor, "b h w 3"],
    under: Float[Tensor, "b h w 3"],
    head: Float[Tensor, "b h w"],
    chosen: Bool[Tensor, "b"],
    colors: Float[Tensor, "b 1 1 3"],
) -> Images:
    """Frames with a colour behind the head where they are ``chosen``. Any device, any precision.

    A frame is ``m F + (1 - m) B`` with the head's matte m and what is behind it B (Porter and Duff 1984), so another
    background C adds ``(1 - m) (C - B)``, without knowing F.
    """
    # A blend by 0 or 1 gives either exactly, in one pass; a choice along broadcast axes takes three times as long.
    others = torch.lerp(under, colors, chosen.view(-1, 1, 1, 1).to(under))
    return torch.addcmul(frames, (1 - head)[..., None], others - under), others


def other_background_cpu(
    frames: Float[Tensor, "b h w 3"],
    under: Float[Tensor, "b h w 3"],
    head: Float[Tensor, "b h w"],
    chosen: Bool[Tensor, "b"],
    colors: Float[Tensor, "b 1 1 3"],
) -> Images:
    """The same for float32 on the CPU, without gradients."""
    frames, under, head = frames.contiguous(), under.contiguous(), head.contiguous()
    out = torch.empty_like(frames), torch.empty_like(under)
    batch, pixels = len(frames), head[0].numel() if len(head) else 0
    flags = chosen.to(torch.uint8)
    load_library().ga_other_background(frames, under, head, flags, colors.contiguous(), batch, pixels, *out)
    return out


Coverage = tuple[Float[Tensor, ""], Float[Tensor, ""]]
"""How far the face's alpha is from what it should be, and how much of the open mouth is bare: means over all pixels."""


def coverage_torch(
    face: Float[Tensor, "b h w"],
    mouth: Float[Tensor, "b h w"],
    head: Float[Tensor, "b h w"],
    inside: Float[Tensor, "b h w"],
) -> Coverage:
    """Alphas of face and mouth branch against the masks of the head and of the ``inside`` of the mouth.

    The face is to be where the head is but not the inside of the mouth, the mouth branch wherever that is.
    """
    return (face - head * (1 - inside)).abs().mean(), ((1 - mouth) * inside).mean()


def coverage_cpu(
    face: Float[Tensor, "b h w"],
    mouth: Float[Tensor, "b h w"],
    head: Float[Tensor, "b h w"],
    inside: Float[Tensor, "b h w"],
) -> Coverage:
    """The same for float32 on the CPU."""
    return _Coverage.apply(*(image.contiguous() for image in (face, mouth, head, inside)))  # type: ignore[return-value]


class _Coverage(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, face: Tensor, mouth: Tensor, head: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        sums = (ctypes.c_double * 2)()
        load_library().ga_coverage(face, mouth, head, inside, face.numel(), sums)
        ctx.save_for_backward(face, head, inside)
        count = max(1, face.numel())
        return torch.tensor(sums[0] / count, dtype=torch.float32), torch.tensor(sums[1] / count, dtype=torch.float32)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *v_means: Tensor) -> tuple[Tensor | None, ...]:
        face, head, inside = ctx.saved_tensors
        v_face, v_mouth = torch.empty_like(face), torch.empty_like(face)
        v_sums = torch.stack(v_means) / max(1, face.numel())
        load_library().ga_coverage_backward(face, head, inside, face.numel(), v_sums, v_face, v_mouth)
        return v_face, v_mouth, None, None
