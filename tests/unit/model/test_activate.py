"""The native activation against its torch twin, values and gradients."""

from __future__ import annotations

import pytest
import torch

from gaussavatar.model.config import Channel
from gaussavatar.model.gaussians import Gaussians, RawGaussians, activate, motion_layout, motion_width
from gaussavatar.native.activation import Raw, activate_torch
from gaussavatar.types import Activated

MOVES: tuple[tuple[Channel, ...], ...] = (
    ("position", "rotation", "scale", "color"),
    ("position",),
    ("scale", "opacity", "position"),
)


def make(n_moving: int) -> Gaussians:
    generator = torch.Generator().manual_seed(1)
    shapes = ((30, 3), (30, 4), (30, 3), (30,), (30, 3))
    return Gaussians(RawGaussians(*(torch.randn(*shape, generator=generator) for shape in shapes)), n_moving)


def activate_in_torch(gaussians: Gaussians, motion, moves, batch: int) -> Activated:  # noqa: ANN001
    raw = (gaussians.means, gaussians.quats, gaussians.log_scales, gaussians.logit_opacities, gaussians.colors)
    return Activated(*activate_torch(Raw(*raw), motion, motion_layout(moves), batch))


@pytest.mark.parametrize("moves", MOVES)
@pytest.mark.parametrize("n_moving", [30, 12])
@pytest.mark.parametrize("still", [False, True])
def test_native_equals_torch(moves: tuple[Channel, ...], n_moving: int, still: bool) -> None:
    gaussians = make(n_moving)
    motion = None if still else torch.randn(3, n_moving, motion_width(moves), requires_grad=True)
    fields = ("means", "quats", "scales", "opacities", "colors")
    results = []
    for form in (activate, activate_in_torch):
        out = form(gaussians, motion, moves, 3)
        tensors = [getattr(out, name) for name in fields]
        generator = torch.Generator().manual_seed(2)
        loss = sum((tensor * torch.randn(tensor.shape, generator=generator)).sum() for tensor in tensors)
        inputs = [*gaussians.parameters(), *([] if motion is None else [motion])]
        results.append((tensors, torch.autograd.grad(loss, inputs)))
    for native, twin in zip(results[0][0], results[1][0], strict=True):
        torch.testing.assert_close(native, twin, rtol=1e-5, atol=1e-6)
    for native, twin in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(native, twin, rtol=1e-4, atol=1e-5)


def test_a_batch_of_no_frames_is_empty() -> None:
    motion = torch.ones(0, 12, 3, requires_grad=True)
    gaussians = make(12)
    activated = activate(gaussians, motion, ("position",), 0)
    activated.means.sum().backward()
    assert activated.means.shape == (0, 30, 3) and motion.grad is not None and motion.grad.shape == motion.shape
    assert gaussians.means.grad is not None and not gaussians.means.grad.any()


def test_unmoved_gaussians_stay() -> None:
    gaussians = make(12)
    motion = torch.ones(1, 12, 3)
    moved = activate(gaussians, motion, ("position",), 1).means[0]
    assert torch.equal(moved[12:], gaussians.means[12:])
    assert not torch.equal(moved[:12], gaussians.means[:12])
