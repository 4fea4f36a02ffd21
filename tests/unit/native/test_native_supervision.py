"""Other backgrounds and coverage: the native forms against their twins in float64, at every instruction set."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from gaussavatar.native import supervision
from gaussavatar.native.library import available_isas, force_isa, native_info

SHAPES = [(1, 1, 1), (2, 13, 17), (3, 150, 131)]


@pytest.fixture(params=available_isas(), autouse=True)
def at_isa(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each instruction set in turn."""
    before = native_info()["isa"]
    force_isa(request.param)
    yield
    force_isa(before)


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_chosen_frames_have_another_background(shape: tuple[int, int, int]) -> None:
    frames, under, head = random(*shape, 3, seed=0), random(*shape, 3, seed=1), random(*shape, seed=2)
    chosen, colors = torch.arange(shape[0]) % 2 == 0, random(shape[0], 1, 1, 3, seed=3)
    got = supervision.other_background_cpu(frames, under, head, chosen, colors)
    wide = (image.double() for image in (frames, under, head))
    expected = supervision.other_background_torch(*wide, chosen, colors.double())
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=1e-6)
    assert torch.equal(got[0][~chosen], frames[~chosen]) and torch.equal(got[1][~chosen], under[~chosen])
    assert torch.equal(got[1][chosen], colors.expand_as(under)[chosen])


@pytest.mark.parametrize("shape", SHAPES)
def test_coverage_and_its_gradients(shape: tuple[int, int, int]) -> None:
    face, mouth, head, inside = (random(*shape, seed=seed) for seed in range(4))
    # Where the face is what it should be, the gradient is zero.
    face[:, 0, 0] = head[:, 0, 0] = 1.0
    inside[:, 0, 0] = 0.0
    found = []
    for form, dtype in ((supervision.coverage_cpu, torch.float32), (supervision.coverage_torch, torch.float64)):
        images = [image.to(dtype) for image in (face, mouth, head, inside)]
        leaves = [image.requires_grad_() for image in images[:2]]
        off, bare = form(*leaves, *images[2:])
        found.append((off, bare, *torch.autograd.grad(2 * off + 3 * bare, leaves)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-6, atol=1e-9)
    assert found[0][2][:, 0, 0].abs().max() == 0
