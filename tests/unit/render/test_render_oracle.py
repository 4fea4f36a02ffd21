"""The torch oracle against hand-computed values and finite differences: the root of all other render tests."""

from __future__ import annotations

import math

import pytest
import torch

from gaussavatar.render.api import Rasterizer, get_rasterizer
from gaussavatar.render.composite import composite
from gaussavatar.render.semantics import check_scene
from gaussavatar.render.torch_oracle import TorchRasterizer, rasterize_one
from gaussavatar.types import Activated, Cameras, Rendered

DOUBLE = torch.float64
K = torch.tensor([[80.0, 0, 16.5], [0, 80.0, 16.5], [0, 0, 1]], dtype=DOUBLE)


def draw(means, scales, opacities, colors, quats=None, size=33):
    means = torch.tensor(means, dtype=DOUBLE)
    quats = torch.tensor([[1.0, 0, 0, 0]], dtype=DOUBLE).repeat(len(means), 1) if quats is None else quats
    rest = [torch.tensor(value, dtype=DOUBLE) for value in (scales, opacities, colors)]
    return rasterize_one(means, quats, *rest, torch.eye(4, dtype=DOUBLE), K, size, size)


def test_one_round_gaussian_has_the_analytic_profile():
    rgb, alpha = draw([[0, 0, 1.0]], [[0.03, 0.03, 0.03]], [0.6], [[0.2, 0.5, 1.0]])
    variance = (80 * 0.03) ** 2 + 0.3
    for dx in (0, 1, 4):
        expected = 0.6 * math.exp(-(dx**2) / (2 * variance))
        assert alpha[16, 16 + dx].item() == pytest.approx(expected, abs=1e-12)
        assert rgb[16, 16 + dx, 1].item() == pytest.approx(0.5 * expected, abs=1e-12)


def test_alpha_below_one_255th_is_cut_to_nothing():
    _, alpha = draw([[0, 0, 1.0]], [[0.03, 0.03, 0.03]], [0.6], [[1, 1, 1]])
    variance = (80 * 0.03) ** 2 + 0.3
    reach = math.sqrt(2 * variance * math.log(0.6 * 255))
    row = alpha[16]
    assert row[16 + int(reach)] >= 1 / 255
    assert row[16 + int(reach) + 1] == 0
    _, faint = draw([[0, 0, 1.0]], [[0.03, 0.03, 0.03]], [0.0039], [[1, 1, 1]])
    assert faint.max() == 0


def test_alpha_is_clamped_and_its_gradient_stops():
    opacity = torch.tensor([0.9999], dtype=DOUBLE, requires_grad=True)
    _, alpha = rasterize_one(
        torch.tensor([[0, 0, 1.0]], dtype=DOUBLE),
        torch.tensor([[1.0, 0, 0, 0]], dtype=DOUBLE),
        torch.full((1, 3), 0.3, dtype=DOUBLE),
        opacity,
        torch.ones(1, 3, dtype=DOUBLE),
        torch.eye(4, dtype=DOUBLE),
        K,
        33,
        33,
    )
    assert alpha[16, 16].item() == pytest.approx(0.999)
    alpha[16, 16].backward()
    assert opacity.grad.item() == 0


def test_nearer_covers_farther_and_a_full_pixel_stops():
    scale = [[0.3, 0.3, 0.3]]
    rgb, _ = draw([[0, 0, 2.0], [0, 0, 1.0]], scale * 2, [0.8, 0.5], [[1, 0, 0], [0, 1, 0]])
    assert rgb[16, 16].tolist() == pytest.approx([0.5 * 0.8, 0.5, 0], abs=1e-9)
    # 0.999 leaves 1e-3; the second 0.999 would leave 1e-6, so it is not drawn and a third is not either.
    rgb, alpha = draw(
        [[0, 0, 1.0], [0, 0, 1.1], [0, 0, 1.2]], scale * 3, [0.999, 0.999, 0.5], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    )
    assert rgb[16, 16].tolist() == pytest.approx([0.999, 0, 0])
    assert alpha[16, 16].item() == pytest.approx(0.999)


def test_near_plane_and_pixel_motion():
    _, alpha = draw([[0, 0, 0.0099]], [[0.001] * 3], [0.9], [[1, 1, 1]])
    assert alpha.max() == 0
    _, alpha = draw([[0, 0, 0.0101]], [[0.00001] * 3], [0.9], [[1, 1, 1]])
    assert alpha.max() > 0.8
    _, moved = draw([[3 / 80, 0, 1.0]], [[0.02] * 3], [0.9], [[1, 1, 1]])
    assert moved.argmax().item() == 16 * 33 + 19


def test_rotation_turns_the_long_axis():
    half = math.sqrt(0.5)
    quats = torch.tensor([[half, 0, 0, half]], dtype=DOUBLE)
    _, alpha = draw([[0, 0, 1.0]], [[0.1, 0.01, 0.01]], [0.9], [[1, 1, 1]], quats=quats)
    assert alpha[26, 16] > 0.3 and alpha[16, 26] == 0


def test_gradients_agree_with_finite_differences():
    generator = torch.Generator().manual_seed(3)

    def random(*shape):
        return torch.rand(*shape, generator=generator, dtype=DOUBLE)

    # Wide, half-transparent Gaussians that cover every pixel: no cut, clamp or stop is near.
    means = (random(4, 3) - 0.5) * 0.1
    quats, scales = random(4, 4) - 0.5, 0.3 + 0.1 * random(4, 3)
    opacities, colors = 0.3 + 0.3 * random(4), random(4, 3)
    pose = torch.eye(4, dtype=DOUBLE)
    pose[2, 3] = 1.5
    K_small = torch.tensor([[10.0, 0, 4], [0, 11.0, 3], [0, 0, 1]], dtype=DOUBLE)
    leaves = [leaf.requires_grad_() for leaf in (means, quats, scales, opacities, colors, pose)]
    assert torch.autograd.gradcheck(lambda *values: rasterize_one(*values, K_small, 7, 6), leaves, atol=1e-7)


def test_invisible_gaussians_get_zero_gradients():
    means = torch.tensor([[0, 0, 1.0], [0, 0, -1.0], [float("nan"), 0, 1.0]], dtype=DOUBLE, requires_grad=True)
    quats = torch.tensor([[1.0, 0, 0, 0]], dtype=DOUBLE).repeat(3, 1).requires_grad_()
    rgb, alpha = rasterize_one(
        means,
        quats,
        torch.full((3, 3), 0.03, dtype=DOUBLE),
        torch.full((3,), 0.5, dtype=DOUBLE),
        torch.ones(3, 3, dtype=DOUBLE),
        torch.eye(4, dtype=DOUBLE),
        K,
        33,
        33,
    )
    (rgb[:, 16:].sum() + alpha.sum()).backward()
    assert means.grad[0].abs().sum() > 0 and torch.isfinite(means.grad).all()
    assert means.grad[1:].abs().sum() == 0 and quats.grad[1:].abs().sum() == 0


@pytest.mark.usefixtures("types_unchecked")
def test_protocol_and_shape_errors():
    rasterizer = get_rasterizer("cpu", "torch")
    assert isinstance(rasterizer, Rasterizer) and isinstance(rasterizer, TorchRasterizer)
    one = torch.zeros(1, 2, 3)
    gaussians = Activated(one, torch.zeros(1, 2, 4), one, torch.zeros(1, 2), one)
    with pytest.raises(ValueError, match="K has shape"):
        check_scene(gaussians, Cameras(torch.eye(4)[None], torch.eye(4)[None], 8, 8))
    with pytest.raises(ValueError, match="image of 0"):
        check_scene(gaussians, Cameras(torch.eye(4)[None], torch.eye(3)[None], 0, 8))


def test_composite_is_over_twice():
    face = Rendered(torch.full((1, 2, 2, 3), 0.3), torch.full((1, 2, 2), 0.6))
    mouth = Rendered(torch.full((1, 2, 2, 3), 0.1), torch.full((1, 2, 2), 0.5))
    image = composite(face, mouth, torch.ones(1, 2, 2, 3))
    assert image.flatten().tolist() == pytest.approx([0.3 + 0.4 * (0.1 + 0.5)] * 12)
