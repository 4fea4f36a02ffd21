"""Both deformation designs: still at the start, gradients everywhere, able to learn a motion."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gaussavatar.model.deform import Blendshapes
from gaussavatar.model.deform_triplane import TriPlane

N_CODES, N_MOVING, WIDTH = 3, 40, 13


def design(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name == "blendshapes":
        return Blendshapes(N_CODES, 2, N_MOVING, WIDTH, torch.zeros(N_CODES, N_MOVING, 3))
    return TriPlane(N_CODES, WIDTH)


@pytest.mark.parametrize("name", ["blendshapes", "triplane"])
def test_starts_still_and_learns_a_motion(name: str) -> None:
    deformation = design(name)
    generator = torch.Generator().manual_seed(1)
    means = torch.rand(N_MOVING, 3, generator=generator) * 0.1 - 0.05
    codes = torch.randn(16, N_CODES, generator=generator)
    assert float(deformation(codes, means).abs().max()) == 0.0
    wanted = torch.einsum("bc,md->bmd", codes[:, :1], torch.ones(N_MOVING, WIDTH)) * (means[:, :1] > 0)
    optimizer = torch.optim.Adam(deformation.parameters(), lr=1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        loss = (deformation(codes, means) - wanted).square().mean()
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.2 * float(wanted.square().mean())
    assert all(parameter.grad is not None for parameter in deformation.parameters())


def test_blendshapes_start_at_the_landmarks_motion_and_are_linear_in_the_codes() -> None:
    position = torch.randn(N_CODES, N_MOVING, 3, generator=torch.Generator().manual_seed(2))
    deformation = Blendshapes(N_CODES, 0, N_MOVING, WIDTH, position)
    codes = torch.randn(4, N_CODES)
    motion = deformation(codes, torch.zeros(N_MOVING, 3))
    torch.testing.assert_close(motion[..., :3], torch.einsum("bc,cmd->bmd", codes, position))
    assert float(motion[..., 3:].abs().max()) == 0.0


def test_triplane_motion_depends_on_the_place() -> None:
    deformation = design("triplane")
    nn.init.normal_(deformation.out.weight)
    means = torch.tensor([[0.05, 0.0, 0.0], [-0.05, 0.02, 0.01]])
    motion = deformation(torch.ones(1, N_CODES), means)
    assert not torch.allclose(motion[0, 0], motion[0, 1])
