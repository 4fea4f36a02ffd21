"""Raw Gaussians and their motion to activated ones: native on the CPU, and the twin in plain torch."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gaussavatar.native import abi
from gaussavatar.native.library import load_library

WIDTHS = (3, 4, 3, 3, 1)
"""Numbers per Gaussian of position, rotation, scale, color and opacity: the order of :class:`MotionLayout`."""
LEAST_LENGTH = 1e-12
"""Quaternions shorter than this are divided by it."""


class MotionLayout(NamedTuple):
    """How a motion's last axis moves position, rotation, scale, color and opacity, in this order."""

    offsets: tuple[int, ...]
    """Where each begins; -1: it does not move."""
    units: tuple[float, ...]
    """What each is multiplied by."""


class Raw(NamedTuple):
    """Raw parameters of n Gaussians."""

    means: Float[Tensor, "n 3"]
    quats: Float[Tensor, "n 4"]
    log_scales: Float[Tensor, "n 3"]
    logits: Float[Tensor, "n"]
    colors: Float[Tensor, "n 3"]


class ActivatedTensors(NamedTuple):
    """What the rasterizer takes, for a batch of b."""

    means: Float[Tensor, "b n 3"]
    quats: Float[Tensor, "b n 4"]
    scales: Float[Tensor, "b n 3"]
    opacities: Float[Tensor, "b n"]
    colors: Float[Tensor, "b n 3"]


def activate_torch(
    raw: Raw, motion: Float[Tensor, "b m w"] | None, layout: MotionLayout, batch: int
) -> ActivatedTensors:
    """Motion added to the first m Gaussians; then exp, sigmoid and normalisation. Any device, any precision."""
    still = (raw.means, raw.quats, raw.log_scales, raw.colors, raw.logits[:, None])
    moved = [value.expand(batch, *value.shape) for value in still]
    if motion is not None:
        count = motion.shape[1]
        for channel, (start, unit, width) in enumerate(zip(*layout, WIDTHS, strict=True)):
            if start < 0:
                continue
            head = still[channel][:count] + motion[..., start : start + width] * unit
            tail = still[channel][count:].expand(batch, -1, -1)
            moved[channel] = torch.cat([head, tail], dim=1) if count < len(raw.means) else head
    means, quats, log_scales, colors, logits = moved
    return ActivatedTensors(
        means,
        torch.nn.functional.normalize(quats, dim=-1, eps=LEAST_LENGTH),
        log_scales.exp(),
        logits.sigmoid().squeeze(-1),
        colors,
    )


def activate_cpu(raw: Raw, motion: Float[Tensor, "b m w"] | None, layout: MotionLayout, batch: int) -> ActivatedTensors:
    """The same for float32 on the CPU, in one pass over memory."""
    return ActivatedTensors(*_Activate.apply(batch, layout, motion, *raw))  # type: ignore[misc]


def empty_activated(batch: int, count: int, like: Tensor) -> ActivatedTensors:
    """Room for activated Gaussians, uninitialised."""
    sizes = ((3,), (4,), (3,), (), (3,))
    return ActivatedTensors(*(like.new_empty(batch, count, *size) for size in sizes))


def raw_struct(raw: Raw, motion: Tensor | None, layout: MotionLayout, batch: int) -> abi.GaRaw:
    """The native record of the arguments; the caller keeps the tensors alive."""
    moving, width = (0, 0) if motion is None else motion.shape[1:]
    arrays = [abi.address(tensor) for tensor in (*raw, motion)]
    offsets, units = abi.integers(layout.offsets), abi.floats(layout.units)
    return abi.GaRaw(*arrays, batch, len(raw.means), moving, width, offsets, units)


def activated_struct(tensors: tuple[Tensor, ...] | list[Tensor]) -> abi.GaActivated:
    """The native record of activated Gaussians or of gradients; the caller keeps the tensors alive."""
    return abi.GaActivated(*(abi.address(tensor) for tensor in tensors))


class _Activate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, batch: int, layout: MotionLayout, motion: Tensor | None, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        raw, motion = Raw(*tensors), None if motion is None else motion.contiguous()
        out = empty_activated(batch, len(raw.means), raw.means)
        load_library().ga_activate(raw_struct(raw, motion, layout, batch), activated_struct(out))
        ctx.batch, ctx.layout, ctx.has_motion = batch, layout, motion is not None
        ctx.save_for_backward(*out, *tensors, *([motion] if motion is not None else []))
        return tuple(out)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        values, raw, motion = saved[:5], Raw(*saved[5:10]), saved[10] if ctx.has_motion else None
        incoming = [gradient.contiguous() for gradient in gradients]
        raw_gradients = [torch.empty_like(tensor) for tensor in raw]
        motion_gradient = None if motion is None else torch.empty_like(motion)
        load_library().ga_activate_backward(
            raw_struct(raw, motion, ctx.layout, ctx.batch),
            activated_struct(values),
            activated_struct(incoming),
            activated_struct(raw_gradients),
            motion_gradient,
        )
        return None, None, motion_gradient, *raw_gradients
