"""Gaussians start flat on the skin: from the camera as before, from the side no balls that stand out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.mesh.surface import area_normals
from gaussavatar.model.gaussians import RawGaussians
from gaussavatar.training.data import Clip
from gaussavatar.training.start.build import build_model
from gaussavatar.training.start.flat import GRAZING, THICK, laid_flat

from .test_start import FREE, still_head

EYE, RADIUS = np.array([0.0, 0.0, -0.6]), 4e-3


def matrices(quats: np.ndarray) -> np.ndarray:
    w, x, y, z = (quats / np.linalg.norm(quats, axis=1, keepdims=True)).T
    rows = [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), 2 * (x * y + w * z),
            1 - 2 * (x * x + z * z), 2 * (y * z - w * x), 2 * (x * z - w * y), 2 * (y * z + w * x),
            1 - 2 * (x * x + y * y)]  # fmt: skip
    return np.stack(rows, axis=1).reshape(-1, 3, 3)


def covariances(raw: RawGaussians) -> np.ndarray:
    R, s = matrices(raw.quats.numpy().astype(float)), np.exp(raw.log_scales.numpy().astype(float))
    return R * s[:, None] ** 2 @ R.swapaxes(1, 2)


@pytest.fixture(scope="module")
def laid() -> tuple[RawGaussians, np.ndarray, np.ndarray]:
    """Flat Gaussians in the middle of the face's triangles that look ahead, the normals there, and the rays."""
    head = builtin_head()
    corners = head.template.astype(float)[head.triangles[head.triangle_region("face", "scalp")]]
    normal = area_normals(corners)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    means = corners.mean(axis=1)
    ray = means - EYE
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    facing = (normal * ray).sum(axis=1) < -0.1
    count = int(facing.sum())
    raw = RawGaussians(
        torch.from_numpy(means[facing]).float(), torch.tensor([1.0, 0, 0, 0]).repeat(count, 1),
        torch.full((count, 3), float(np.log(RADIUS))), torch.zeros(count), torch.zeros(count, 3),
    )  # fmt: skip
    return laid_flat(raw, head, EYE), normal[facing], ray[facing]


def test_the_camera_sees_them_as_large_as_round_ones(laid: tuple[RawGaussians, np.ndarray, np.ndarray]) -> None:
    raw, _, ray = laid
    across = np.eye(3) - ray[:, :, None] * ray[:, None]
    seen = across @ covariances(raw) @ across
    assert np.abs(seen - RADIUS**2 * across).max() < 1.05 * THICK**2
    assert torch.equal(raw.colors, torch.zeros_like(raw.colors)), "nothing else changes"


def test_they_lie_in_the_skin_and_are_drawn_out_only_so_far(laid: tuple[RawGaussians, np.ndarray, np.ndarray]) -> None:
    raw, normal, ray = laid
    through = np.sqrt(np.einsum("ni,nij,nj->n", normal, covariances(raw), normal))
    steep = -(normal * ray).sum(axis=1) < GRAZING
    # The skin's normals are smooth, those of its triangles are not.
    assert np.median(through[~steep]) < 1.2 * THICK and np.quantile(through[~steep], 0.95) < 0.6 * RADIUS
    scales = raw.log_scales.exp().numpy()
    assert scales.max() < 1.001 * RADIUS * np.hypot(1, 1 / GRAZING) and scales[~steep].max() > 1.5 * RADIUS


def test_an_avatar_starts_flat_where_the_head_was_tracked(tiny_clip: Clip) -> None:
    flat, round_ones = (build_model(tiny_clip, FREE, 0, head).face.gaussians for head in (still_head(tiny_clip), None))
    scales = [each.log_scales.detach().exp().sort(dim=1).values for each in (flat, round_ones)]
    assert float((scales[0][:, 0] / scales[0][:, 1]).median()) < 0.7 and torch.equal(scales[1][:, 0], scales[1][:, 2])
