"""Which tiles of a picture every projected Gaussian touches, front to back, in a fixed number of slots.

Counting the intersections first and then making lists of that length asks the GPU for a number, and whoever asks
waits. With slots to spare nothing is asked: the step is launched at once, and can be recorded as a CUDA graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class TileGrid:
    """Square tiles over an image."""

    width: int
    height: int
    side: int = 16
    """Pixels of a tile's side."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.height // self.side), -(-self.width // self.side)


@dataclass(frozen=True)
class Intersections:
    """Lists of Gaussians, one per tile, one behind the other; empty slots come first.

    ``start[i, y, x]`` is where the list of a tile of image i begins; it ends where the next one begins, the last one
    with ``gaussian``, whose entries number the Gaussians of all images through. ``needed`` is how many slots there
    should be: where it is more than there are, the farthest of what came last is missing.
    """

    start: Int[Tensor, "i y x"]
    gaussian: Int[Tensor, "slots"]
    needed: Int[Tensor, ""]


def tile_intersections(
    means: Float[Tensor, "i n 2"],
    radii: Int[Tensor, "i n 2"],
    depths: Float[Tensor, "i n"],
    grid: TileGrid,
    slots: int,
) -> Intersections:
    """Sort the Gaussians into tiles by depth; equal depths keep their order.

    Args:
        means: centres in pixels.
        radii: half the sides of the boxes around them, pixels; where one is 0 a Gaussian is left out.
        depths: positive.
        grid: the tiles.
        slots: length of the lists in all.
    """
    rows, columns = grid.shape
    images, count = depths.shape
    low, high = _tile_boxes(means, radii, grid)
    size = high - low
    touched = (size[..., 0] * size[..., 1]).flatten()
    ends = touched.cumsum(0)
    slot = torch.arange(slots, device=means.device)
    owner = torch.searchsorted(ends, slot, right=True).clamp_max(images * count - 1)
    place = slot - (ends - touched)[owner]
    wide = size[..., 0].flatten()[owner].clamp_min(1)
    y = low[..., 1].flatten()[owner] + torch.div(place, wide, rounding_mode="floor")
    x = low[..., 0].flatten()[owner] + place % wide
    tile = (torch.div(owner, count, rounding_mode="floor") * rows + y) * columns + x
    # The bits of a positive float sort as the float does.
    key = (tile << 32) | depths.contiguous().view(torch.int32).flatten()[owner].long()
    key = torch.where(slot < ends[-1], key, -1)
    key, order = torch.sort(key, stable=True)
    first = torch.arange(images * rows * columns, device=means.device) << 32
    start = torch.searchsorted(key, first).int().view(images, rows, columns)
    return Intersections(start, owner[order].int(), ends[-1])


def _tile_boxes(
    means: Float[Tensor, "i n 2"], radii: Int[Tensor, "i n 2"], grid: TileGrid
) -> tuple[Int[Tensor, "i n 2"], Int[Tensor, "i n 2"]]:
    """First tile, and the one behind the last, of every Gaussian along x and y; equal where it is left out."""
    rows, columns = grid.shape
    centre, reach = means / grid.side, radii.float() / grid.side
    most = torch.stack([means.new_full((), columns), means.new_full((), rows)])
    low = (centre - reach).floor().clamp_min(0).minimum(most)
    high = (centre + reach).ceil().clamp_min(0).minimum(most)
    drawn = (radii > 0).all(dim=-1, keepdim=True) & torch.isfinite(means).all(dim=-1, keepdim=True)
    return torch.where(drawn, low, 0).long(), torch.where(drawn, high.maximum(low), 0).long()
