"""Gaussians sorted into tiles in a fixed number of slots, against lists made one by one."""

from __future__ import annotations

import math

import pytest
import torch

from gaussavatar.render.binning import Intersections, TileGrid, tile_intersections
from gaussavatar.render.gsplat_backend import filled_up
from gaussavatar.render.semantics import MIN_ALPHA
from gaussavatar.render.torch_oracle import TorchRasterizer
from gaussavatar.types import Activated, Cameras

GRID = TileGrid(width=70, height=45)


def scene(images: int, count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor([GRID.width, GRID.height])
    means = torch.rand(images, count, 2, generator=generator) * 1.6 * size - 0.3 * size
    radii = torch.randint(0, 20, (images, count, 2), generator=generator, dtype=torch.int32)
    depths = torch.rand(images, count, generator=generator).mul(8).round() / 8 + 0.5
    # What the projection leaves out has a radius of 0, and anything else in it.
    means[:, 0], radii[:, 0], depths[:, 0] = math.nan, 0, math.nan
    return means, radii, depths


def lists_of(found: Intersections) -> list[list[int]]:
    starts = [*found.start.flatten().tolist(), len(found.gaussian)]
    return [found.gaussian[a:b].tolist() for a, b in zip(starts[:-1], starts[1:], strict=True)]


def lists_one_by_one(means: torch.Tensor, radii: torch.Tensor, depths: torch.Tensor) -> list[list[int]]:
    rows, columns = GRID.shape
    images, count = depths.shape
    lists: list[list[tuple[float, int]]] = [[] for _ in range(images * rows * columns)]
    for image in range(images):
        for index in range(count):
            (x, y), (rx, ry) = means[image, index].tolist(), radii[image, index].tolist()
            if rx <= 0 or ry <= 0:
                continue
            left, right = (min(max(f, 0), columns) for f in (math.floor((x - rx) / 16), math.ceil((x + rx) / 16)))
            top, bottom = (min(max(f, 0), rows) for f in (math.floor((y - ry) / 16), math.ceil((y + ry) / 16)))
            for row in range(top, bottom):
                for column in range(left, right):
                    entry = float(depths[image, index]), image * count + index
                    lists[(image * rows + row) * columns + column].append(entry)
    return [[index for _, index in sorted(one)] for one in lists]


@pytest.mark.parametrize(("images", "count"), [(1, 1), (1, 40), (3, 37)])
def test_every_tile_lists_its_gaussians_front_to_back(images: int, count: int) -> None:
    inputs = scene(images, count)
    expected = lists_one_by_one(*inputs)
    needed = sum(map(len, expected))
    for slots in (max(1, needed), needed + 1, 3 * needed + 50):
        found = tile_intersections(*inputs, GRID, slots)
        assert lists_of(found) == expected and int(found.needed) == needed
        assert found.start.shape == (images, *GRID.shape) and len(found.gaussian) == slots


def test_too_few_slots_leave_out_and_say_so() -> None:
    inputs = scene(2, 30)
    expected = lists_one_by_one(*inputs)
    found = tile_intersections(*inputs, GRID, sum(map(len, expected)) // 2)
    assert int(found.needed) == sum(map(len, expected))
    assert all(set(some) <= set(every) for some, every in zip(lists_of(found), expected, strict=True))


def test_what_fills_up_a_warp_shows_nothing_and_takes_no_gradient() -> None:
    generator = torch.Generator().manual_seed(1)
    given = Activated(
        torch.randn(2, 5, 3, generator=generator) * 0.05 + torch.tensor([0, 0, 1.0]),
        torch.randn(2, 5, 4, generator=generator),
        torch.full((2, 5, 3), 0.05),
        torch.full((2, 5), 0.7),
        torch.rand(2, 5, 3, generator=generator),
    )
    cameras = Cameras(
        torch.eye(4).repeat(2, 1, 1), torch.tensor([[20.0, 0, 8], [0, 20, 8], [0, 0, 1]]).repeat(2, 1, 1), 16, 16
    )
    whole = filled_up(given, 27)
    assert whole.means.shape == (2, 32, 3) and bool((whole.opacities[:, 5:] < MIN_ALPHA).all())
    plain, filled = TorchRasterizer()(given, cameras), TorchRasterizer()(whole, cameras)
    assert torch.allclose(plain.rgb, filled.rgb, atol=1e-6) and torch.allclose(plain.alpha, filled.alpha, atol=1e-6)
